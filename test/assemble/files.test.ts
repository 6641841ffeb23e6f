/** A change of a file in use is noticed however it is made, and once. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { fileState, watchFiles } from '../../src/assemble/files.ts';
import { createTemporaryFolder, type TemporaryFolder } from '../support/processes.ts';

/** Two looks and some. */
const NOTICED_MS = 2600;

let folder: TemporaryFolder;

/** How a file `NAME` comes to be, how it changes, and how often that is noticed. */
const cases: readonly (readonly [
  string,
  (path: string) => void,
  (path: string) => void | Promise<void>,
  number,
])[] = [
  ['that stays as it is', written, () => {}, 0],
  ['that is not there', () => {}, () => {}, 0],
  ['that is written', written, (path) => writeFileSync(path, 'new'), 1],
  ['that is written with as many bytes', written, (path) => writeFileSync(path, 'b'), 1],
  [
    'that is replaced by a rename',
    written,
    (path) => {
      writeFileSync(`${path}.new`, 'a');
      renameSync(`${path}.new`, path);
    },
    1,
  ],
  ['that is removed', written, (path) => rmSync(path), 1],
  ['that appears', () => {}, written, 1],
  ['that is touched', written, (path) => utimesSync(path, 1, 1), 1],
  ['whose folder is swapped behind a link, as Kubernetes does', linked, (path) => swapLink(path), 1],
  ['that becomes a link to itself', written, (path) => replaceBySelfLink(path), 1],
  [
    'that becomes a folder',
    written,
    (path) => {
      rmSync(path);
      mkdirSync(path);
    },
    1,
  ],
  ['that keeps being written', written, (path) => keepWriting(path), 1],
];

const counts = new Map<string, number>();

beforeAll(async () => {
  folder = await createTemporaryFolder();
  const ends = cases.map(([name, make, ,], index) => {
    const path = folder.at(String(index));
    make(path);
    counts.set(name, 0);
    let read = fileState(path);
    return watchFiles(
      () => new Map([[path, read]]),
      () => {
        counts.set(name, (counts.get(name) ?? 0) + 1);
        read = fileState(path);
      },
    );
  });
  try {
    await Promise.all(cases.map(([, , change], index) => change(folder.at(String(index)))));
    await Bun.sleep(NOTICED_MS);
  } finally {
    for (const end of ends) end();
  }
}, 20_000);

afterAll(() => folder[Symbol.asyncDispose]());

describe('a file', () => {
  test.each(cases.map(([name, , , times]) => [name, times] as const))(
    '%s is noticed %i times',
    (name, times) => {
      expect(counts.get(name)).toBe(times);
    },
  );
});

test('nothing is noticed after the end', async () => {
  const path = folder.at('ended');
  writeFileSync(path, 'a');
  let changes = 0;
  const read = fileState(path);
  watchFiles(
    () => new Map([[path, read]]),
    () => {
      changes += 1;
    },
  )();
  writeFileSync(path, 'b');
  await Bun.sleep(NOTICED_MS);
  expect(changes).toBe(0);
});

function written(path: string): void {
  writeFileSync(path, 'a');
}

/** `PATH` -> `PATH.data/file`, `PATH.data` -> `PATH.1`. */
function linked(path: string): void {
  for (const version of ['1', '2']) {
    mkdirSync(`${path}.${version}`);
    writeFileSync(`${path}.${version}/file`, version);
  }
  symlinkSync(`${path}.1`, `${path}.data`);
  symlinkSync(`${path}.data/file`, path);
}

function swapLink(path: string): void {
  symlinkSync(`${path}.2`, `${path}.data.new`);
  renameSync(`${path}.data.new`, `${path}.data`);
}

function replaceBySelfLink(path: string): void {
  rmSync(path);
  symlinkSync(path, path);
}

/** Nothing half-written is read: a file that changes from look to look is noticed when it has come to rest. */
async function keepWriting(path: string): Promise<void> {
  for (let round = 0; round < 7; round += 1) {
    writeFileSync(path, `half ${round}`);
    await Bun.sleep(400);
  }
}
