/** A list of revoked licences says of every text whether it is in it: no false yes, no false no. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { RevokedLicenses, readRevokedLicenses } from '../../src/authorize/revoked-licenses.ts';

const noPause = () => Promise.resolve();
const read = (text: string) => readRevokedLicenses(Buffer.from(text), noPause);

/** By the sentences of the sample: a licence a line, # begins a comment at the start and after a space. */
function linesOf(text: string): Set<string> {
  const lines = text.split('\n').map((line) => {
    const comment = [...line.matchAll(/#/g)].find(
      ({ index }) => index === 0 || line.charAt(index - 1).trim() === '',
    );
    return line.slice(0, comment?.index ?? line.length).trim();
  });
  return new Set(lines.filter((line) => line !== ''));
}

const license = fc.oneof(
  fc.stringMatching(/^[A-C1-3]{1,3}$/),
  fc.constantFrom('LIC#7', 'LIC-Ä', 'L I C', '証', 'a'.repeat(300), '\u{1f511}', '#no'),
);
const space = fc.constantFrom('', '', ' ', '\t', '\r', '\u00a0', '\u2028', '\ufeff', '\v', ' \u3000 ');
const comment = fc.constantFrom('', '', '# x', ' # x', ' #', '\u00a0# x', ' # Ä', '#', ' # x\r');
const line = fc.tuple(space, license, space, comment, space).map((parts) => parts.join(''));
const list = fc.array(fc.oneof(line, comment, space), { maxLength: 30 }).map((lines) => lines.join('\n'));

describe('a list of licences', () => {
  test('holds exactly what its lines say', async () => {
    let revoked = 0;
    await fc.assert(
      fc.asyncProperty(list, fc.array(license, { maxLength: 10 }), async (text, others) => {
        const [found, expected] = [await read(text), linesOf(text)];
        for (const asked of [...expected, ...others, '', ' ', '\n', '\ud800', ...text.split('\n')])
          expect([asked, found.has(asked)]).toEqual([asked, expected.has(asked)]);
        revoked += expected.size;
      }),
      { numRuns: 1000 },
    );
    expect(revoked).toBeGreaterThan(1000);
  });

  test('holds exactly its lines where there are a hundred thousand, one the start of another', async () => {
    const lines = Array.from({ length: 100_000 }, (_, index) => `LIC-${index}`);
    const found = await read(lines.join('\n'));
    expect(lines.filter((name) => !found.has(name))).toEqual([]);
    const others = lines.flatMap((name) => [`${name}-`, name.slice(1), `${name}_0000`, name.toLowerCase()]);
    expect(others.filter((name) => found.has(name))).toEqual([]);
  });

  test('lets others have their turn while it is read, and reads the same', async () => {
    const lines = Array.from({ length: 50_000 }, (_, index) => `LIC-${index}-Ä # comment`);
    const text = Buffer.from(lines.join('\n'));
    let turns = 0;
    const found = await readRevokedLicenses(text, async () => {
      turns += 1;
    });
    expect(turns).toBeGreaterThan(text.length / 100_000);
    expect(lines.filter((name) => !found.has(name.slice(0, -10)))).toEqual([]);
  });

  test('can be given to another thread in the same memory', async () => {
    const text = Buffer.from('LIC-1\nLIC-2\n');
    const shared = new Uint8Array(new SharedArrayBuffer(text.length));
    shared.set(text);
    const { table } = await readRevokedLicenses(shared, noPause);
    const copy = structuredClone(table);
    expect([copy.text.buffer, copy.slots.buffer]).toEqual([
      expect.any(SharedArrayBuffer),
      expect.any(SharedArrayBuffer),
    ]);
    const found = new RevokedLicenses(copy);
    expect(['LIC-1', 'LIC-2', 'LIC-3'].map((name) => found.has(name))).toEqual([true, true, false]);
  });
});
