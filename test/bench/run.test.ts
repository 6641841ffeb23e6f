/** `bun run bench` as it is called: each kind of run in short, and words that it does not take; no timings. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync, writeFileSync } from 'node:fs';
import { describeWith } from '../support/debian-parts.ts';
import { createTemporaryFolder, run, type TemporaryFolder } from '../support/processes.ts';
import { BINARY } from '../support/running-service.ts';
import { startBareServer } from './bare-server.ts';
import type { Cell } from './cells.ts';

setDefaultTimeout(240_000);

const SCRIPT = new URL('run.ts', import.meta.url).pathname;

let folder: TemporaryFolder;
beforeAll(async () => {
  folder = await createTemporaryFolder();
});
afterAll(() => folder[Symbol.asyncDispose]());

function bench(words: readonly string[], path = process.env.PATH ?? '') {
  return run([process.execPath, SCRIPT, ...words], { env: { PATH: path }, timeoutMs: 230_000 });
}

describeWith(['wrk', 'redis-server'], 'bun run bench --smoke', () => {
  // Between them they have every kind of load, so that a run of all cells does not fail for its kind.
  const names = ['optok-seen', 'scopes-64', 'mtls-new', 'new-connections', 'tls', 'redis', 'auto-new'];

  test('issues tokens in cells of every kind, with nothing but 200, and writes a table and JSON', async () => {
    const file = folder.at('bench.json');
    const { exitCode, stdout, stderr } = await bench(['--smoke', '--cells', names.join(), '--json', file]);
    expect({ exitCode, stderr }).toEqual({
      exitCode: 0,
      stderr: names.map((name) => `${name}…\n`).join(''),
    });
    const { rows, machine } = JSON.parse(readFileSync(file, 'utf8'));
    expect(machine.cores).toBeGreaterThan(0);
    expect(rows.map(({ cell }: { cell: Cell }) => cell.name)).toEqual(names);
    for (const { measurement, ...row } of rows) {
      expect(measurement.rounds).toHaveLength(1);
      expect(measurement.rounds[0]).toMatchObject({ refused: 0, failed: 0 });
      const { tokensPerSecond, cpuPerToken, floor, bare, limit, ratio, coresAtLimit } = row;
      const figures = [measurement.rounds[0].tokens, measurement.memory.now, tokensPerSecond, cpuPerToken];
      for (const figure of [...figures, floor, ratio.median, coresAtLimit]) expect(figure).toBeGreaterThan(0);
      // So few requests may take less than the ten milliseconds in which Linux counts.
      expect(bare).toBeGreaterThanOrEqual(0);
      expect(limit).toBeCloseTo(floor + bare, 6);
      expect(row.peer).toBeNull();
    }
    for (const name of names) expect(stdout).toMatch(new RegExp(`^${name} +\\d+ +\\d+ .* 0$`, 'm'));
  });

  test('--before loads another build by turns', async () => {
    const file = folder.at('before.json');
    const words = ['--smoke', '--cells', 'mtls-new', '--before', BINARY, '--json', file];
    const { exitCode, stdout } = await bench(words);
    expect(exitCode).toBe(0);
    const [{ measurement, before }] = JSON.parse(readFileSync(file, 'utf8')).rows;
    const [{ cpuPerToken, cpuBefore }] = measurement.rounds;
    expect(before.median).toBeCloseTo(cpuPerToken / cpuBefore, 6);
    expect(stdout).toMatch(/^mtls-new: [\d.]+ \(.*\) of the CPU for a token before$/m);
  });

  test('measures the cells that are named', async () => {
    const file = folder.at('one.json');
    const { exitCode } = await bench(['--smoke', '--cells', 'optok-new', '--json', file]);
    const { rows } = JSON.parse(readFileSync(file, 'utf8'));
    expect([exitCode, rows.length, rows[0].cell.name]).toEqual([0, 1, 'optok-new']);
  });
});

describeWith(['wrk'], 'bun run bench --peer', () => {
  const measure = (url: string, pid: number, file: string) =>
    bench(['--smoke', '--cells', 'mtls-seen', '--peer', url, '--peer-pid', String(pid), '--json', file]);

  test('loads another service by turns with a cell, and prints both as a ratio', async () => {
    await using peer = await startBareServer(900);
    const file = folder.at('peer.json');
    const { exitCode, stdout } = await measure(`${peer.url}/auth?service=s`, peer.pid, file);
    expect(exitCode).toBe(0);
    const [{ measurement, ...row }] = JSON.parse(readFileSync(file, 'utf8')).rows;
    const [round] = measurement.rounds;
    expect(row.peer.cpu.median).toBeCloseTo(round.cpuPerToken / round.peer.cpuPerToken, 6);
    expect(stdout).toMatch(/^mtls-seen: [\d.]+ \(.*\) of the peer's CPU for a token/m);
  });

  test('fails where the peer refuses', async () => {
    const server = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch: () => new Response('', { status: 401 }),
    });
    const { exitCode, stderr } = await measure(`${server.url}auth`, process.pid, folder.at('refused.json'));
    await server.stop(true);
    expect(exitCode).toBe(1);
    expect(stderr).toInclude('The peer did not answer each request with a token');
  });
});

describeWith(['wrk'], 'bun run bench', () => {
  test('--overload tells how many were accepted, and who was turned away', async () => {
    const file = folder.at('overload.json');
    const { exitCode, stdout } = await bench(['--overload', '--smoke', '--json', file]);
    const { capacity, unloaded, loaded, memory } = JSON.parse(readFileSync(file, 'utf8'));
    expect({ exitCode, faulty: loaded.faulty }).toEqual({ exitCode: 0, faulty: 0 });
    expect([capacity > 0, unloaded.accepted.length > 0, loaded.accepted.length > 0]).toEqual([
      true,
      true,
      true,
    ]);
    expect(memory.length).toBeGreaterThanOrEqual(2);
    expect(stdout).toInclude('p99 of accepted requests');
  });

  test('--cores measures workers and the lock, and models more cores from that', async () => {
    const file = folder.at('cores.json');
    const { exitCode, stdout } = await bench(['--cores', '--smoke', '--json', file]);
    expect(exitCode).toBe(0);
    const { workers, lock, model } = JSON.parse(readFileSync(file, 'utf8'));
    expect(workers.map((row: { onOneCore: boolean }) => row.onOneCore)).toEqual([false, true]);
    for (const { tokensPerSecond, cpu, mainCpu } of workers) {
      expect(tokensPerSecond).toBeGreaterThan(0);
      expect(mainCpu).toBeLessThan(cpu);
    }
    for (const { insertsPerSecond } of lock) expect(insertsPerSecond).toBeGreaterThan(0);
    expect(model).toHaveLength(4);
    expect(stdout).toMatch(/^64 +\d+ +(?:processors|the main thread|the replay store's lock)$/m);
  });

  test('--curves measures what grows, and draws it', async () => {
    const [scale, json, svg] = ['scale.json', 'curves.json', 'curves.svg'].map((name) => folder.at(name)) as [
      string,
      string,
      string,
    ];
    const row = (plans: number, licenses: number, nanoseconds: number) => ({
      ...{ plans, patterns: 100, licenses, decision: { nanoseconds } },
    });
    const rows = [row(10, 0, 3000), row(99, 0, 4000), row(10, 7, 5000), row(99, 7, 6000)];
    writeFileSync(scale, JSON.stringify({ rows }));
    const files = ['--scale', scale, '--json', json, '--svg', svg];
    const { exitCode } = await bench(['--curves', '--smoke', ...files]);
    expect(exitCode).toBe(0);
    const known = JSON.parse(readFileSync(json, 'utf8')).curves.slice(0, 2);
    expect(known.map(({ points }: { points: unknown }) => points)).toEqual([
      [
        { x: 10, y: 3 },
        { x: 99, y: 4 },
      ],
      [{ x: 7, y: 5 }],
    ]);
    const { curves } = JSON.parse(readFileSync(json, 'utf8'));
    expect(curves.map(({ title }: { title: string }) => title)).toEqual([
      'Plans',
      'Revoked licences',
      'Live proofs',
      'Workers',
    ]);
    expect(readFileSync(svg, 'utf8').match(/<polyline/g)?.length).toBe(4);
  });

  test('--curves says where the curves of plans come from', async () => {
    const { exitCode, stderr } = await bench(['--curves', '--smoke', '--scale', folder.at('nothing.json')]);
    expect(exitCode).toBe(1);
    expect(stderr).toInclude('run bun run bench:scale first');
  });

  test('--soak ends by itself, without an error, whatever happens meanwhile', async () => {
    const file = folder.at('soak.json');
    const { exitCode, stdout } = await bench(['--soak', '--smoke', '--json', file]);
    const report = JSON.parse(readFileSync(file, 'utf8'));
    expect({ exitCode, errors: report.errors, ended: report.exitCode }).toEqual({
      exitCode: 0,
      errors: 0,
      ended: 0,
    });
    for (const count of [report.requests, report.reloads, report.rotationSteps, report.authorityKeys])
      expect(count).toBeGreaterThan(1);
    expect(report.hostile['401']).toBeGreaterThan(0);
    expect(stdout).toInclude('RSS after the warm-up');
  });
});

describeWith(['docker-registry', 'skopeo', 'curl', 'openssl'], 'bun run bench --agent', () => {
  test('compares a layer through the agent with one from the registry', async () => {
    const file = folder.at('agent.json');
    const { exitCode, stdout } = await bench(['--agent', '--smoke', '--json', file]);
    expect(exitCode).toBe(0);
    const { direct, throughAgent, ratio } = JSON.parse(readFileSync(file, 'utf8'));
    expect(ratio.median).toBeCloseTo(throughAgent.median / direct.median, 6);
    expect(stdout).toInclude('s of CPU for a GiB');
  });
});

describe('the bench does not start', () => {
  test.each([
    [['--seconds', '0'], '--seconds is a whole number from 1 to 60, not 0'],
    [['--rounds', '61'], '--rounds is a whole number from 1 to 60, not 61'],
    [['--seconds', 'x'], '--seconds is a whole number'],
    [['--cells', 'fast'], 'There is no cell fast'],
    [['--soak', '--seconds', '59'], '--seconds is a whole number from 60 to 3600, not 59'],
    [['--attack', '--workers', '1'], '--workers is a whole number from 2 to 64, not 1'],
    [['--attack', '--minutes', '0'], '--minutes is a whole number from 1 to 120, not 0'],
    [['--before', '/nowhere/registry-token'], '--before: there is no /nowhere/registry-token'],
    [['--peer', 'http://127.0.0.1:1/', '--peer-pid', '9'], '--peer is measured beside one cell'],
    [
      ['--cells', 'tls', '--peer', 'http://10.1.2.3/', '--peer-pid', '9'],
      '--peer is an http URL on this machine',
    ],
    [['--cells', 'tls', '--peer', 'http://127.0.0.1:1/'], '--peer-pid is a whole number'],
    [['--peer-pid', '9'], '--peer-pid and --peer-header need --peer'],
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
