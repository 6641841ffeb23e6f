/** `serve` as systemd and an operator see it: exit codes, signals, and the endpoints beside the token's. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { writeFile } from 'node:fs/promises';
import { importJWK, type JWK, jwtVerify } from 'jose';
import { stringify } from 'yaml';
import { type Authority, startAuthority } from '../support/authority.ts';
import { createDpopClient } from '../support/authority-client.ts';
import { describeWith } from '../support/debian-parts.ts';
import {
  createTemporaryFolder,
  findFreePort,
  isPortFree,
  run,
  start,
  type TemporaryFolder,
} from '../support/processes.ts';
import {
  BINARY,
  nextSecond,
  type RunningService,
  runBinary,
  type Section,
  serviceConfiguration,
  startService,
} from '../support/running-service.ts';
import { obtainToken, requestToken } from '../support/token-request.ts';

setDefaultTimeout(30_000);

const SAMPLE_KEY = new URL('../../etc/registry-signing-sample.pem', import.meta.url).pathname;
const SAMPLE_CONFIGURATION = new URL('../../etc/registry-token.yaml', import.meta.url).pathname;

let folder: TemporaryFolder;
let authority: Authority;

beforeAll(async () => {
  folder = await createTemporaryFolder();
  authority = await startAuthority({ clients: [{ id: 'builder', plan: 'enterprise' }] });
});

afterAll(async () => {
  await authority?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

/** Writes a configuration that signs with the sample key, and returns its path. */
async function writeConfiguration(port: number, sections: Section = {}): Promise<string> {
  const options = { authorityIssuer: authority.issuer, signing: { keyPath: SAMPLE_KEY }, sections };
  const path = folder.at(`${port}.yaml`);
  await writeFile(path, stringify(serviceConfiguration(options, port)));
  return path;
}

describe('a configuration with mistakes', () => {
  test('that is no YAML ends with 78 and its place', async () => {
    const path = folder.at('broken.yaml');
    await writeFile(path, 'server:\n  listen: [127.0.0.1\nauthority: {}\n');
    const { exitCode, stdout, stderr } = await runBinary(['serve', '--config', path]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 78, stdout: '' });
    expect(stderr).toMatch(new RegExp(`^${RegExp.escape(path)}:3:\\d+: `));
  });

  test('names every one of them with its line, its column and the key meant', async () => {
    const path = await writeConfiguration(1, { singing: {}, server: { listen: 'nowhere', worker: 2 } });
    const { exitCode, stderr } = await runBinary(['serve', '--config', path]);
    expect(exitCode).toBe(78);
    const lines = stderr.trim().split('\n');
    const place = `^${RegExp.escape(path)}:\\d+:\\d+: `;
    expect(lines.map((line) => new RegExp(place).test(line))).toEqual(lines.map(() => true));
    for (const words of ['server\\.listen: ', 'server\\.worker: .*workers', 'singing: .*signing'])
      expect(stderr).toMatch(new RegExp(`${place}${words}`, 'm'));
  });

  test('in the environment ends with 78 and the name of the variable', async () => {
    const path = await writeConfiguration(2);
    const env = { REGISTRY_TOKEN_SIGNING__LIFETIME: '2h' };
    const { exitCode, stderr } = await runBinary(['serve', '--config', path], { env });
    expect(exitCode).toBe(78);
    expect(stderr).toContain('REGISTRY_TOKEN_SIGNING__LIFETIME');
  });

  test('that lets the sample key sign beyond loopback ends with 78', async () => {
    for (const listen of ['0.0.0.0:0', '[::]:0']) {
      const { exitCode, stderr } = await runBinary([
        'serve',
        '--config',
        SAMPLE_CONFIGURATION,
        '--listen',
        listen,
      ]);
      expect(exitCode).toBe(78);
      expect(stderr).toContain('signing.keyPath: is the sample key');
      expect(stderr).toContain('keygen');
    }
  });
});

describe('the life of the process', () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    test(`ends with 0 at ${signal} and gives its port back`, async () => {
      const port = await findFreePort();
      await using child = start([BINARY, 'serve', '--config', await writeConfiguration(port)]);
      await child.waitForStatus(`http://127.0.0.1:${port}/healthz`, 200);
      child.signal(signal);
      expect(await child.exited).toBe(0);
      expect(await isPortFree(port)).toBe(true);
    });

  test('ends with 1 where something else has the port, and says which', async () => {
    const port = Number(new URL(authority.issuer).port);
    const { exitCode, stderr } = await runBinary(['serve', '--config', await writeConfiguration(port)]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(`127.0.0.1:${port}`);
    expect(stderr).toContain('--listen');
  });

  test('reads the working directory for nothing but the configuration', async () => {
    const port = await findFreePort();
    const configuration = await writeConfiguration(port);
    await writeFile(folder.at('.env'), 'REGISTRY_TOKEN_SIGNING__LIFETIME=nonsense\n');
    await writeFile(folder.at('bunfig.toml'), 'preload = ["./missing.ts"]\n');
    await using child = start([BINARY, 'serve', '--config', configuration], { cwd: folder.path });
    await child.waitForStatus(`http://127.0.0.1:${port}/healthz`, 200);
  });

  test('starts while the Authority is down, says so, and recovers by itself', async () => {
    const client = await createDpopClient(authority, 'builder');
    authority.setAvailable(false);
    using _ = { [Symbol.dispose]: () => authority.setAvailable(true) };
    const port = await findFreePort();
    const url = `http://127.0.0.1:${port}`;
    await using child = start([BINARY, 'serve', '--config', await writeConfiguration(port)]);
    await child.waitForStatus(`${url}/healthz`, 200);
    const readiness = await fetch(`${url}/readyz`);
    expect(readiness.status).toBe(503);
    expect(await readiness.text()).toContain('authority-keys');
    await nextSecond();
    const refused = await requestToken(`${url}/token`, client, []);
    expect(refused.status).toBe(503);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    authority.setAvailable(true);
    await child.waitForStatus(`${url}/readyz`, 200, 20_000);
    expect((await requestToken(`${url}/token`, client, [])).status).toBe(200);
  });
});

describe('the endpoints beside the token endpoint', () => {
  let service: RunningService;

  beforeAll(async () => {
    service = await startService({ authorityIssuer: authority.issuer, signing: { keyPath: SAMPLE_KEY } });
  });

  afterAll(async () => {
    await service?.[Symbol.asyncDispose]();
  });

  test('/healthz and /readyz answer 200', async () => {
    expect((await fetch(`${service.url}/healthz`)).status).toBe(200);
    expect((await fetch(`${service.url}/readyz`)).status).toBe(200);
  });

  test('/.well-known/jwks.json holds the public key that tokens verify with, and nothing private', async () => {
    const client = await createDpopClient(authority, 'builder');
    const token = await obtainToken(service.realm, client, ['repository:team-a/app:pull']);
    const answer = await fetch(`${service.url}/.well-known/jwks.json`);
    const { keys } = (await answer.json()) as { keys: JWK[] };
    const [key = {}] = keys;
    expect(Object.keys(key)).not.toContain('d');
    const { payload, protectedHeader } = await jwtVerify(token, await importJWK(key));
    expect(protectedHeader).toMatchObject({ typ: 'JWT', alg: 'ES256', kid: key.kid });
    expect(payload.access).toEqual([{ type: 'repository', name: 'team-a/app', actions: ['pull'] }]);
  });

  describeWith(['promtool'], '/metrics', () => {
    test('is a text that promtool accepts, and counts by plan and reason', async () => {
      const client = await createDpopClient(authority, 'builder');
      await obtainToken(service.realm, client, []);
      await requestToken(service.realm, client, ['repository:elsewhere/app:pull']);
      const exposition = await (await fetch(`${service.url}/metrics`)).text();
      const { exitCode, stdout, stderr } = await run(['promtool', 'check', 'metrics'], { input: exposition });
      expect({ exitCode, said: `${stdout}${stderr}` }).toEqual({ exitCode: 0, said: '' });
      expect(exposition).toMatch(/^registry_token_issued_total\{plan="enterprise"\} [1-9]/m);
      expect(exposition).toMatch(/^registry_token_rejected_total\{reason="plan-denied"\} 1$/m);
      expect(exposition).toMatch(/^registry_token_replay_entries [1-9]/m);
      expect(exposition).toMatch(/^registry_token_event_loop_delay_seconds_count [1-9]/m);
      expect(exposition).toMatch(
        /^registry_token_build_info\{version="[^"]+",commit="[^"]+",bun="[^"]+"\} 1$/m,
      );
    });
  });

  test('a path that is nothing is 404, a wrong method 405 with Allow', async () => {
    const missing = await fetch(`${service.url}/nothing`);
    expect(missing.status).toBe(404);
    expect(missing.headers.get('content-type')).toBe('application/json');
    const wrong = await fetch(service.realm, { method: 'DELETE' });
    expect({ status: wrong.status, allow: wrong.headers.get('allow') }).toEqual({
      status: 405,
      allow: 'GET, POST',
    });
  });
});
