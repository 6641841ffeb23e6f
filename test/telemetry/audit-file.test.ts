/** The audit file: every line once and whole, in whatever file is at the path; and a disk that fails costs nothing else. */
import { describe, expect, test } from 'bun:test';
import {
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { AuditFile, type AuditFileOptions, checkAuditFile } from '../../src/telemetry/audit-file.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { createTemporaryFolder } from '../support/processes.ts';

interface Told {
  readonly message: string;
  readonly fault?: string;
  readonly dropped?: number;
}

function openFile(path: string, options: Partial<AuditFileOptions> = {}) {
  const told: Told[] = [];
  const log = createLog('debug', 'json', (line) => told.push(JSON.parse(line)));
  return { told, file: new AuditFile({ path, log, retryMs: 20, ...options }) };
}

const line = (number: number) => `{"line":${number}}\n`;
const linesOf = (path: string) =>
  existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : [];
const numbersOf = (path: string) => linesOf(path).map((text) => JSON.parse(text).line);

async function until(what: string, look: () => boolean): Promise<void> {
  for (let tries = 0; !look(); tries += 1) {
    if (tries > 1000) throw new Error(`No ${what} in 5 seconds.`);
    await Bun.sleep(5);
  }
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);

describe('the audit file', () => {
  test('has every line in its order, and is for its owner and group', async () => {
    await using folder = await createTemporaryFolder();
    const { file, told } = openFile(folder.at('audit.log'));
    for (const number of range(0, 2000)) {
      file.write(line(number));
      if (number % 300 === 0) await Bun.sleep(1);
    }
    await file.close();
    expect(numbersOf(folder.at('audit.log'))).toEqual(range(0, 2000));
    expect(statSync(folder.at('audit.log')).mode & 0o777).toBe(0o640);
    expect(told).toEqual([]);
  });

  test('is added to where it exists, with the mode that it has', async () => {
    await using folder = await createTemporaryFolder();
    writeFileSync(folder.at('audit.log'), line(0), { mode: 0o600 });
    checkAuditFile(folder.at('audit.log'));
    const { file } = openFile(folder.at('audit.log'));
    file.write(line(1));
    await file.close();
    expect(numbersOf(folder.at('audit.log'))).toEqual([0, 1]);
    expect(statSync(folder.at('audit.log')).mode & 0o777).toBe(0o600);
  });

  test.each([
    ['at once where it is told so', true],
    ['within about a second by itself', false],
  ])('is another one after a rename, %s', async (_, isTold) => {
    await using folder = await createTemporaryFolder();
    const path = folder.at('audit.log');
    const { file, told } = openFile(path);
    file.write(line(0));
    await until('line', () => numbersOf(path).length === 1);
    renameSync(path, folder.at('audit.log.1'));
    if (isTold) file.reopen();
    else await Bun.sleep(1100);
    file.write(line(1));
    await until('new file', () => existsSync(path));
    await file.close();
    expect([numbersOf(folder.at('audit.log.1')), numbersOf(path)]).toEqual([[0], [1]]);
    expect(told).toEqual([]);
  });

  test('is made again where it was removed', async () => {
    await using folder = await createTemporaryFolder();
    const { file } = openFile(folder.at('audit.log'));
    file.write(line(0));
    await until('line', () => numbersOf(folder.at('audit.log')).length === 1);
    rmSync(folder.at('audit.log'));
    file.reopen();
    file.write(line(1));
    await file.close();
    expect(numbersOf(folder.at('audit.log'))).toEqual([1]);
  });
});

describe('a full disk', () => {
  test('keeps lines waiting up to the bound, counts the rest, and tells when it begins and ends', async () => {
    await using folder = await createTemporaryFolder();
    const path = folder.at('audit.log');
    symlinkSync('/dev/full', path);
    const { file, told } = openFile(path, { maxWaiting: 10_000 });
    file.write(line(0));
    await until('fault', () => told.length === 1);
    expect(told[0]).toMatchObject({ level: 'warn', fault: expect.stringContaining('(ENOSPC)') });
    for (const number of range(1, 100_000)) file.write(line(number));
    expect(told.map(({ message }) => message).slice(1)).toEqual(['dropping audit lines']);
    const { dropped } = file;
    unlinkSync(path);
    await until('recovery', () => told.length === 3);
    expect(told[2]).toMatchObject({ message: 'the audit file can be written again', dropped });
    file.write(line(100_000));
    await file.close();
    const written = numbersOf(path);
    expect(written.length + dropped).toBe(100_001);
    expect(statSync(path).size).toBeLessThan(10_100);
    expect(written).toEqual([...range(0, written.length - 1), 100_000]);
    expect(told).toHaveLength(3);
  });

  test('holds up neither the writer nor the stop, which counts what is lost', async () => {
    await using folder = await createTemporaryFolder();
    symlinkSync('/dev/full', folder.at('audit.log'));
    const { file, told } = openFile(folder.at('audit.log'));
    file.write(line(0) + line(1));
    file.write(line(2));
    await file.close();
    expect(file.dropped).toBe(3);
    expect(told.at(-1)).toMatchObject({ message: 'audit lines were lost', dropped: 3 });
  });
});
