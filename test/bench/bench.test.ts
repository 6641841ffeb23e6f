/** What the bench is made of: that it measures what it says, sends nothing twice and leaves nothing behind. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { createTemporaryFolder, type TemporaryFolder } from '../support/processes.ts';
import { decodePart } from '../support/tokens.ts';
import { keepOtherCoresBusy } from './busy-cores.ts';
import { type Cell, cells, floorOf, usualCell } from './cells.ts';
import { modelCores } from './cores.ts';
import { drawCurves, shorten } from './draw-curves.ts';
import { prepareFloor } from './floor.ts';
import { parseMachineTicks, stolenBetween } from './machine-figures.ts';
import { cpuSeconds, parseCpuSeconds, readMemory } from './process-figures.ts';
import { measureInserts } from './proof-inserts.ts';
import { certificateHeaderOf, createParties, queryOf, writeRequests } from './requests.ts';
import { spreadOf } from './spread.ts';

setDefaultTimeout(240_000);

const claims = { issuer: 'https://a.example', audience: 'registry', realm: 'http://127.0.0.1:1/token' };

let folder: TemporaryFolder;
beforeAll(async () => {
  folder = await createTemporaryFolder();
});
afterAll(() => folder[Symbol.asyncDispose]());

function childrenOf(pid: number): readonly string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean);
}

describe('curves', () => {
  const curve = {
    title: 'Plans & patterns',
    grows: 'plans',
    unit: 'floors',
    points: [
      { x: 10, y: 2 },
      { x: 1000, y: 4 },
      { x: 100_000, y: 0.5 },
    ],
  };

  test('are drawn to the right as things grow, upwards as they cost more, with their values', () => {
    const svg = drawCurves([curve]);
    const [, text = ''] = /<polyline class="curve" points="([^"]+)"/.exec(svg) ?? [];
    const points = text.split(' ').map((point) => point.split(',').map(Number));
    const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis] ?? Number.NaN));
    expect(xs?.[1]).toBeCloseTo(((xs?.[0] ?? 0) + (xs?.[2] ?? 0)) / 2, 0);
    expect(ys?.toSorted((a, b) => a - b)).toEqual([ys?.[1], ys?.[0], ys?.[2]] as number[]);
    for (const label of ['10', '1000', '100k', '2', '4', '0.5', 'Plans &#38; patterns'])
      expect(svg).toInclude(`>${label}</text>`);
  });

  test('say it on a light and on a dark page', () => {
    expect(drawCurves([curve])).toMatch(/prefers-color-scheme: light[\s\S]*prefers-color-scheme: dark/);
  });

  test('numbers are short', () => {
    expect([0.12345, 1.5, 999, 1000, 25_000, 1_000_000, 10_000_000].map(shorten)).toEqual([
      '0.123',
      '1.5',
      '999',
      '1000',
      '25k',
      '1M',
      '10M',
    ]);
  });

  test('an insert among many live proofs costs something', () => {
    expect(measureInserts(2000)).toBeGreaterThan(0);
  });
});

describe('the requests of a load', () => {
  const certificate = {
    certificate: '-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n',
    thumbprint: 'x',
  };
  const prepare = async (change: Partial<Cell>, count: number) => {
    const cell = { ...usualCell, ...change };
    const files = ['0', '1', '2'].map((name) => folder.at(name));
    writeRequests(files, count, cell, await createParties(cell, certificate), claims);
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

  test('have no proof where a certificate binds, which a header tells of', async () => {
    const cell: Cell = { ...usualCell, binding: 'mtls' };
    const [[opTok, ...more] = []] = (await prepare(cell, 3)).flat();
    expect(more).toEqual([]);
    expect(decodePart(opTok ?? '', 1).cnf).toEqual({ 'x5t#S256': 'x' });
    const parties = await createParties(cell, certificate);
    expect(certificateHeaderOf(cell, parties)).toBe('Client-Cert: :MA==:\r\n');
    expect(certificateHeaderOf(usualCell, parties)).toBe('');
  });

  test('ask for as many repositories as the cell says', () => {
    const scopesOf = (scopes: number) =>
      new URLSearchParams(queryOf({ ...usualCell, scopes }, 's')).get('scope')?.split(' ').length ?? 0;
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
      'mtls-seen': ['sign'],
      'mtls-new': ['verify', 'sign'],
    });
  });

  test('can be measured for every algorithm, while the other cores are kept busy', async () => {
    for (const algorithm of ['ES256', 'ES384', 'EdDSA', 'PS256', 'RS256'] as const)
      for (const operation of ['verify', 'sign'] as const) {
        const floor = await prepareFloor([{ operation, algorithm }], 5);
        expect(await floor()).toBeGreaterThan(0);
      }
  });

  test('leaves nobody at work behind', async () => {
    const before = childrenOf(process.pid);
    {
      await using _ = await keepOtherCoresBusy(2);
      expect(childrenOf(process.pid).length).toBe(before.length + 2);
    }
    expect(childrenOf(process.pid)).toEqual(before);
  });
});

describe('the model of more cores', () => {
  const inputs = { cpu: 100, mainCpu: 10, insert: 1 };

  test('is bound by the processors, then by the thread that writes for all, then by the lock', () => {
    expect(modelCores(2, inputs)).toEqual({ cores: 2, tokensPerSecond: 20_000, weakestLink: 'processors' });
    expect(modelCores(16, inputs)).toMatchObject({
      tokensPerSecond: 100_000,
      weakestLink: 'the main thread',
    });
    expect(modelCores(64, { ...inputs, mainCpu: 0.1, insert: 2 })).toMatchObject({
      tokensPerSecond: 500_000,
      weakestLink: "the replay store's lock",
    });
  });
});

describe('several rounds', () => {
  test('are told by their median, their lowest and their highest', () => {
    expect(spreadOf([3])).toEqual({ median: 3, low: 3, high: 3 });
    expect(spreadOf([9, 1, 2])).toEqual({ median: 2, low: 1, high: 9 });
    expect(spreadOf([4, 1, 2, 9])).toEqual({ median: 3, low: 1, high: 9 });
    expect(() => spreadOf([])).toThrow('Nothing was measured');
  });
});

describe('the time that the host took', () => {
  test('is its part of all of the time between two looks', () => {
    const before = parseMachineTicks('cpu  10 0 10 70 0 0 0 10 5 5\ncpu0 1 1 1 1 1 1 1 1 0 0\n');
    const after = parseMachineTicks('cpu  20 0 20 120 0 0 0 40 9 9\n');
    expect(before).toEqual({ all: 100, stolen: 10 });
    expect(stolenBetween(before, after)).toBe(0.3);
    expect(stolenBetween(before, before)).toBe(0);
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
