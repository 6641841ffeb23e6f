/** The bench itself: that it measures what it says, sends nothing twice and leaves nothing behind; no timings. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { describeWith } from '../support/debian-parts.ts';
import { createTemporaryFolder, run, type TemporaryFolder } from '../support/processes.ts';
import { decodePart } from '../support/tokens.ts';
import { type Cell, cells, floorOf } from './cells.ts';
import { measureFloor, sumFloor } from './floor.ts';
import { cpuSeconds, parseCpuSeconds, readMemory } from './process-figures.ts';
import { createParties, queryOf, writeRequests } from './requests.ts';

setDefaultTimeout(60_000);

const SCRIPT = new URL('run.ts', import.meta.url).pathname;
const claims = { issuer: 'https://a.example', audience: 'registry', realm: 'http://127.0.0.1:1/token' };

let folder: TemporaryFolder;
beforeAll(async () => {
  folder = await createTemporaryFolder();
});
afterAll(() => folder[Symbol.asyncDispose]());

function bench(words: readonly string[], path = process.env.PATH ?? '') {
  return run([process.execPath, SCRIPT, ...words], { env: { PATH: path } });
}

describeWith(['wrk'], 'bun run bench --smoke', () => {
  test('issues tokens in every cell, with nothing but 200, and writes a table and JSON', async () => {
    const file = folder.at('bench.json');
    const { exitCode, stdout, stderr } = await bench(['--smoke', '--json', file]);
    expect({ exitCode, stderr }).toEqual({
      exitCode: 0,
      stderr: cells.map(({ name }) => `${name}…\n`).join(''),
    });
    const { rows, machine } = JSON.parse(readFileSync(file, 'utf8'));
    expect(machine.cores).toBeGreaterThan(0);
    expect(rows.map(({ cell }: { cell: Cell }) => cell.name)).toEqual(cells.map(({ name }) => name));
    for (const { measurement, floor, ratio } of rows) {
      expect(measurement).toMatchObject({ refused: 0, failed: 0 });
      for (const figure of [
        measurement.tokens,
        measurement.tokensPerSecond,
        measurement.cpuPerToken,
        measurement.memory.now,
        floor.nodeCrypto,
        floor.jose,
        ratio,
      ])
        expect(figure).toBeGreaterThan(0);
    }
    for (const { name } of cells) expect(stdout).toMatch(new RegExp(`^${name} +\\d+ +\\d+ .* 0$`, 'm'));
  });

  test('measures the cells that are named', async () => {
    const file = folder.at('one.json');
    const { exitCode } = await bench(['--smoke', '--cells', 'optok-new', '--json', file]);
    const { rows } = JSON.parse(readFileSync(file, 'utf8'));
    expect([exitCode, rows.length, rows[0].cell.name]).toEqual([0, 1, 'optok-new']);
  });
});

describe('the bench does not start', () => {
  test.each([
    [['--seconds', '0'], '--seconds is a whole number from 1 to 120, not 0'],
    [['--seconds', 'x'], '--seconds is a whole number'],
    [['--cells', 'fast'], 'There is no cell fast'],
    [['--fast'], "Unknown option '--fast'"],
  ])('with the words %p', async (words, message) => {
    const { exitCode, stderr, stdout } = await bench(words);
    expect([exitCode, stdout]).toEqual([2, '']);
    expect(stderr).toInclude(message);
    expect(stderr).toInclude('Usage: bun run bench');
  });

  test('without wrk, and says what to install', async () => {
    const { exitCode, stdout, stderr } = await bench(['--smoke'], folder.path);
    expect({ exitCode, stdout, stderr }).toEqual({
      exitCode: 1,
      stdout: '',
      stderr: 'The load comes from wrk, which is not here: apt-get install wrk\n',
    });
  });
});

describe('the requests of a load', () => {
  const [usual] = cells;
  const prepare = async (change: Partial<Cell>, count: number) => {
    if (usual === undefined) throw new Error('There is no cell.');
    const cell = { ...usual, ...change };
    const files = ['0', '1', '2'].map((name) => folder.at(name));
    writeRequests(files, count, cell, await createParties(cell), claims);
    return files.map((file) =>
      readFileSync(file, 'utf8')
        .split('\n')
        .slice(0, -1)
        .map((line) => line.split(' ')),
    );
  };

  test('have each a proof of their own, in turns for the threads', async () => {
    const lines = await prepare({ opTok: 'seen' }, 2100);
    expect(lines.map((file) => file.length)).toEqual([700, 700, 700]);
    const all = lines.flat();
    expect(new Set(all.map(([opTok]) => opTok)).size).toBe(1);
    expect(new Set(all.map(([, proof]) => decodePart(proof ?? '', 1).jti)).size).toBe(2100);
  });

  test('have each an OpTok of their own where the cell says so', async () => {
    const all = (await prepare({ opTok: 'new' }, 30)).flat();
    expect(new Set(all.map(([opTok]) => decodePart(opTok ?? '', 1).jti)).size).toBe(30);
  });

  test('are signed by as many clients as the cell says', async () => {
    const all = (await prepare({ clients: 4 }, 20)).flat();
    expect(new Set(all.map(([, proof]) => JSON.stringify(decodePart(proof ?? '', 0).jwk))).size).toBe(4);
  });

  test('ask for as many repositories as the cell says', () => {
    const scopesOf = (scopes: number) =>
      new URLSearchParams(queryOf({ ...cells[0], scopes } as Cell, 's')).get('scope')?.split(' ').length ?? 0;
    expect([0, 1, 64].map(scopesOf)).toEqual([0, 1, 64]);
  });
});

describe('the floor', () => {
  test('is one verification and one signature, and another verification for a new OpTok', () => {
    const operations = Object.fromEntries(
      cells.map((cell) => [cell.name, floorOf(cell).map(({ operation }) => operation)]),
    );
    expect(operations).toMatchObject({
      'optok-seen': ['verify', 'sign'],
      'optok-new': ['verify', 'verify', 'sign'],
    });
  });

  test('can be measured for every algorithm', async () => {
    const operations = (['ES256', 'ES384', 'EdDSA', 'PS256', 'RS256'] as const).flatMap((algorithm) => [
      { operation: 'verify', algorithm } as const,
      { operation: 'sign', algorithm } as const,
    ]);
    const costs = await measureFloor(operations, { rounds: 1, perRound: 2 });
    expect(costs.size).toBe(10);
    const sum = sumFloor(operations, costs);
    expect(sum.nodeCrypto).toBeGreaterThan(0);
    expect(sum.jose).toBeGreaterThan(0);
  });
});

describe('the figures of a process', () => {
  test('come from the fields after its name, whatever that is', () => {
    const fields = Array.from({ length: 50 }, (_, index) => String(index + 3));
    fields[11] = '250';
    fields[12] = '50';
    for (const name of ['bun', 'a b', 'a) (b', ')'])
      expect(parseCpuSeconds(`4242 (${name}) ${fields.join(' ')}`)).toBe(3);
  });

  test('are those of this process', () => {
    const { user, system } = process.cpuUsage();
    expect(cpuSeconds(process.pid)).toBeCloseTo((user + system) / 1e6, 0);
    const { now, highest } = readMemory(process.pid);
    expect(now).toBeWithin(10, 4000);
    expect(highest).toBeGreaterThanOrEqual(now);
  });
});
