/** The pictures of the console in etc/README.md are those that `bun run picture:console` takes. */
import { expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { pictures } from './pictures.ts';

const folder = new URL('../../etc/console/', import.meta.url).pathname;

test('each picture is there, as wide and high as the script takes it, and stands in the reference', () => {
  const reference = readFileSync(new URL('../../etc/README.md', import.meta.url), 'utf8');
  expect(readdirSync(folder).sort()).toEqual(pictures.map(({ name }) => name).sort());
  for (const { name, width, height } of pictures) {
    const png = readFileSync(`${folder}${name}`);
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([width, height]);
    expect(reference).toInclude(`](console/${name})`);
  }
});
