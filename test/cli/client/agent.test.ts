/** `agent` as a command: its options and what it says of wrong ones, its start and its end. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { agent } from '../../../src/cli/client/agent.ts';
import { startFakeServer } from '../../support/fake-server.ts';
import {
  createTemporaryFolder,
  findFreePort,
  isPortFree,
  start,
  type TemporaryFolder,
} from '../../support/processes.ts';
import { runCommand } from '../../support/run-command.ts';

setDefaultTimeout(30_000);

const main = new URL('../../../src/main.ts', import.meta.url).pathname;

let folder: TemporaryFolder;

beforeAll(async () => {
  folder = await createTemporaryFolder();
  writeFileSync(folder.at('secret'), 's3cret\n');
});

afterAll(() => folder[Symbol.asyncDispose]());

function words(registry: string, authority: string, ...more: readonly string[]): string[] {
  const client = ['--client-id', 'builder', '--client-secret-path', folder.at('secret')];
  return ['--registry', registry, '--authority', authority, ...client, ...more];
}

const refuse = (registry: string, ...more: readonly string[]) =>
  runCommand(agent, words(registry, 'https://authority.example.com', ...more));

test.each([
  ['http://registry.example.com', 'neither https nor on loopback'],
  ['https://me:pw@registry.example.com', 'neither https nor on loopback'],
  ['https://registry.example.com/team', 'must be a registry without a path'],
  ['https://registry.example.com/?a=b', 'must be a registry without a path'],
])('the registry %s is a usage error', async (registry, message) => {
  const { exitCode, stderr } = await refuse(registry);
  expect(exitCode).toBe(2);
  expect(stderr).toContain(message);
  expect(stderr).not.toContain('pw');
});

test.each([
  '0.0.0.0:5001',
  '192.0.2.1:5001',
  '[::]:5001',
  'registry.example.com:5001',
  '127.0.0.1.example.com:5001',
])('it does not listen on %s without TLS and a list of clients', async (listen) => {
  const { exitCode, stderr } = await refuse('https://registry.example.com', '--listen', listen);
  expect(exitCode).toBe(2);
  expect(stderr).toContain('--tls-cert, --tls-key and --client-ca');
});

test.each(['127.0.0.1', '127.0.0.1:0', '127.0.0.1:99999', '5001', 'http://127.0.0.1:5001'])(
  '%s is no address',
  async (listen) => {
    const { exitCode, stderr } = await refuse('https://registry.example.com', '--listen', listen);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('expected host:port, such as 127.0.0.1:5001');
  },
);

test('TLS without an authority of the clients is a usage error', async () => {
  const tls = ['--tls-cert', folder.at('a.crt'), '--tls-key', folder.at('a.key')];
  const { exitCode, stderr } = await refuse(
    'https://registry.example.com',
    '--listen',
    '0.0.0.0:5001',
    ...tls,
  );
  expect([exitCode, stderr]).toEqual([2, '--tls-cert, --tls-key and --client-ca must be given together\n']);
});

test('a secret that is not there is told before anything is opened', async () => {
  const { exitCode, stderr } = await refuse(
    'https://registry.example.com',
    ...['--client-secret-path', folder.at('none')],
  );
  expect(exitCode).toBe(1);
  expect(stderr).toContain(`${folder.at('none')}: no such file (ENOENT)`);
});

test('an address in use is told, with the option that names another', async () => {
  await using other = startFakeServer(() => new Response());
  const listen = new URL(other.url).host;
  const { exitCode, stderr } = await refuse('https://registry.example.com', '--listen', listen);
  expect([exitCode, stderr]).toEqual([
    1,
    `cannot listen on ${listen}: another process uses that address (EADDRINUSE); choose another address with --listen\n`,
  ]);
});

test.each(['SIGINT', 'SIGTERM'] as const)(
  'it says why it could not get a token, serves on, and ends at %s',
  async (signal) => {
    await using registry = startFakeServer(
      ({ headers }) =>
        new Response(headers.get('authorization'), {
          status: 401,
          headers: { 'WWW-Authenticate': 'Bearer realm="https://127.0.0.1:1/token",service="s"' },
        }),
    );
    await using authority = startFakeServer(() => new Response('', { status: 500 }));
    const port = await findFreePort();
    const options = words(registry.url, authority.url, '--listen', `localhost:${port}`);
    await using child = start([process.execPath, 'run', main, 'agent', ...options]);
    await child.waitForLine(/"ready"/);
    await child.waitForLine(
      /"realm":"https:\/\/127\.0\.0\.1:1\/token","service":"s","message":"token service"/,
    );
    await child.waitForLine(/"why":"discovery: .* answered 500".*cannot get a token/);
    const answer = await fetch(`http://localhost:${port}/v2/a/manifests/1`);
    expect(answer.status).toBe(503);
    expect(await answer.text()).toContain('"code":"UNAVAILABLE"');
    await child.waitForLine(/"status":503.*"not forwarded"/);
    child.signal(signal);
    expect(await child.exited).toBe(0);
    expect(await isPortFree(port)).toBe(true);
    expect(child.stdout()).toBe('');
    expect(child.stderr()).not.toContain('s3cret');
  },
);
