/** `/status` and the `status` command, asked of a running service. */
import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { StatusReport } from '../../src/status/report.ts';
import { startConfiguredService } from '../support/configured-service.ts';
import { findFreePort, run, start } from '../support/processes.ts';
import { serviceCommand } from '../support/running-service.ts';

setDefaultTimeout(60_000);

const usual = {
  telemetry: { listen: 'unix:telemetry.sock' },
  revokedLicensesPath: '/dev/null',
};
const service = await startConfiguredService(usual);
afterAll(() => service[Symbol.asyncDispose]());
const FILE = service.folder.at('registry-token.yaml');
const SOCKET = service.folder.at('telemetry.sock');

function status(args: readonly string[] = [], file = FILE) {
  return run([...serviceCommand, 'status', '--config', file, ...args]);
}

function ask(
  headers: Readonly<Record<string, string>> = {},
  method = 'GET',
  path = '/status',
): Promise<Response> {
  return fetch(`http://localhost${path}`, { unix: SOCKET, method, headers });
}

describe('/status', () => {
  test('answers JSON that is not stored, and HEAD without it', async () => {
    const response = await ask();
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(response.headers.get('cross-origin-resource-policy')).toBe('same-origin');
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    const report = (await response.json()) as StatusReport;
    expect(report).toMatchObject({ state: 'ok', generation: 1, configuration: { path: FILE } });
    expect(await (await ask({}, 'HEAD')).text()).toBe('');
  });

  test('is read only', async () => {
    const response = await ask({}, 'POST');
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });

  test.each(['evil.example', 'localhost.evil.example', 'localhost, localhost', '10.0.0.1', ''])(
    'refuses the Host %j, which is not its own',
    async (host) => {
      const answer = await run([
        'curl',
        '-s',
        '-o',
        '/dev/null',
        '-w',
        '%{http_code}',
        '--unix-socket',
        SOCKET,
        '-H',
        `Host: ${host}`,
        'http://localhost/status',
      ]);
      expect(answer.stdout).toBe('421');
    },
  );

  test('is not there for clients', async () => {
    expect((await fetch(`${service.url}/status`)).status).toBe(404);
  });
});

describe('the command', () => {
  test('prints a line for each part and ends with 0 where all is well', async () => {
    const { exitCode, stdout } = await status();
    expect(stdout).toMatch(/^ok +signing-key +It signs with ES256 /m);
    expect(stdout).toEndWith('\nfine\n');
    expect(stdout).not.toContain('\u001b');
    expect(exitCode).toBe(0);
  });

  test('prints the report of /status for programs', async () => {
    const { exitCode, stdout } = await status(['--json']);
    expect(JSON.parse(stdout)).toMatchObject({ state: 'ok', generation: 1 });
    expect(exitCode).toBe(0);
  });

  test('says which configuration still runs where the file has mistakes, and ends with 1', async () => {
    service.configure({ ...usual, defaultPlan: 'nope' });
    await service.untilReloads('failure', 1);
    const { exitCode, stdout } = await status();
    expect(stdout).toMatch(
      /^error +configuration +It still runs generation 1 of .*registry-token\.yaml:\d+:\d+: defaultPlan: must be the name of a plan/m,
    );
    expect(stdout).toContain(`$ registry-token check --mistakes --config ${FILE}`);
    expect(exitCode).toBe(1);
    service.configure(usual);
    await service.untilReloads('success', 1);
    const after = await status(['--json']);
    expect(JSON.parse(after.stdout)).toMatchObject({ state: 'ok', generation: 2 });
  });

  test('names another file than a socket that is asked for as a usage error', async () => {
    const { exitCode, stderr } = await status(['--address', 'nowhere']);
    expect([exitCode, stderr]).toEqual([
      2,
      expect.stringContaining('--address must be host:port or unix:PATH'),
    ]);
  });

  test('says so where nothing runs, names what to look at, and ends with 1', async () => {
    const other = service.folder.at('other.yaml');
    writeFileSync(other, 'telemetry: { listen: "unix:other.sock" }\n');
    const { exitCode, stdout } = await status([], other);
    expect(stdout).toContain(`No service answers on unix:${service.folder.at('other.sock')}`);
    expect(stdout).toMatch(/^error +configuration +The service would not start: .*other\.yaml:\d+:\d+: /m);
    expect(exitCode).toBe(1);
  });

  test('names the port that another process has, where nothing runs', async () => {
    using holder = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data: () => {} } });
    const other = service.folder.at('taken.yaml');
    const text = readFileSync(FILE, 'utf8').replace('telemetry.sock', 'taken.sock');
    writeFileSync(other, text.replace(/"127\.0\.0\.1:\d+"/, `"127.0.0.1:${holder.port}"`));
    const { exitCode, stdout } = await status([], other);
    expect(stdout).toMatch(/^ok +configuration /m);
    expect(stdout).toMatch(
      new RegExp(
        `^error +listeners +Port ${holder.port} of 127\\.0\\.0\\.1 \\(server\\.listen\\) is taken`,
        'm',
      ),
    );
    expect(stdout).toContain(`$ ss -ltnp 'sport = :${holder.port}'`);
    expect(exitCode).toBe(1);
  });

  test('says that an upgrade is not in effect, and that a restart would fail', async () => {
    const report = await (await ask()).text();
    const file = service.folder.at('upgraded.yaml');
    const former = report.replace(/"version": "[^"]+"/, '"version": "0.0.9"').replaceAll(FILE, file);
    using server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: () => new Response(former) });
    const askFormer = () => status(['--address', `127.0.0.1:${server.port}`]);
    writeFileSync(file, readFileSync(FILE));
    const good = await askFormer();
    expect(good.stdout).toMatch(
      /^warning +version +0\.0\.9 runs, and this executable is \S+: the service was not restarted/m,
    );
    writeFileSync(
      file,
      readFileSync(FILE, 'utf8').replace('"defaultPlan": "community"', '"defaultPlan": "gone"'),
    );
    const refused = await askFormer();
    expect(refused.stdout).toMatch(
      /^error +version .* does not accept the configuration, so a restart would fail: .*upgraded\.yaml:\d+:\d+: defaultPlan: /m,
    );
    expect([good.exitCode, refused.exitCode]).toEqual([1, 1]);
  });

  test('says so where somebody else answers', async () => {
    const { exitCode, stdout } = await status(['--address', service.url.slice('http://'.length)]);
    expect(stdout).toContain('it answers 404 to /status');
    expect(exitCode).toBe(1);
  });
});

test('of several workers, each is reported with its configuration, and a listener of TCP is asked like a socket', async () => {
  const listen = `127.0.0.1:${await findFreePort()}`;
  await using several = await startConfiguredService({ server: { workers: 2 }, telemetry: { listen } });
  const file = several.folder.at('registry-token.yaml');
  await several.child.waitForStatus(`http://${listen}/healthz`, 200);
  const of = async () => {
    const { stdout } = await status(['--json'], file);
    return (JSON.parse(stdout) as StatusReport).parts.find(({ name }) => name === 'workers');
  };
  const workers = (generation: number) =>
    [1, 2].map((worker) => ({ worker, isListening: true, generation, deaths: 0 }));
  expect(await of()).toMatchObject({ state: 'ok', sentence: '2 answer.', facts: { workers: workers(1) } });
  several.child.signal('SIGHUP');
  await several.untilReloads('success', 1);
  expect(await of()).toMatchObject({ state: 'ok', facts: { workers: workers(2) } });
  for (const [host, expected] of [
    [listen, 200],
    ['localhost', 200],
    ['192.0.2.7', 421],
  ] as const)
    expect((await fetch(`http://${listen}/status`, { headers: { Host: host } })).status).toBe(expected);
});

describe('check', () => {
  const check = async (file: string) => {
    const { stdout } = await run([...serviceCommand, 'check', '--json', '--config', file]);
    const { findings } = JSON.parse(stdout) as { findings: { code: string; fault: string; mend: string }[] };
    return findings.filter(({ code }) => code.startsWith('running-'));
  };

  test('finds nothing about a running service that uses the file as it is', async () => {
    expect(await check(FILE)).toEqual([]);
  });

  test('finds a running service that uses another file', async () => {
    const other = service.folder.at('copy.yaml');
    writeFileSync(other, readFileSync(FILE));
    expect(await check(other)).toEqual([
      expect.objectContaining({
        code: 'running-configuration',
        fault: `The running service uses another file: ${FILE}.`,
        mend: `registry-token check --config ${FILE}`,
      }),
    ]);
  });

  test('finds a running service that could not take the file', async () => {
    const failures = await service.reloads('failure');
    service.configure({ ...usual, server: { workers: 2 } });
    await service.untilReloads('failure', failures + 1);
    const [finding] = await check(FILE);
    expect(finding?.fault).toMatch(
      /^The running service: It still runs generation \d+ .*server\.workers: takes effect only after a restart/,
    );
    const successes = await service.reloads('success');
    service.configure(usual);
    await service.untilReloads('success', successes + 1);
  });
});

test('a stop removes the socket, and a second service does not take it', async () => {
  const second = start([...serviceCommand, 'serve', '--config', FILE, '--listen', '127.0.0.1:0']);
  expect(await second.exited).toBe(1);
  expect(second.stderr()).toContain(`cannot listen on unix:${SOCKET}: another process uses that address`);
  expect((await ask()).status).toBe(200);
  await service.child.stop();
  expect(existsSync(SOCKET)).toBe(false);
});
