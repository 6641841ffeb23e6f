/** `dpop-proof`: one proof on standard output, everything else elsewhere. */
import { expect, test } from 'bun:test';
import { chmodSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dpopProof } from '../../../src/cli/client/dpop-proof.ts';
import { MemoryReplayStore } from '../../../src/replay/memory-replay-store.ts';
import { ask, expectToken } from '../../support/ask.ts';
import { createKey } from '../../support/keys.ts';
import { createTemporaryFolder } from '../../support/processes.ts';
import { runCommand } from '../../support/run-command.ts';
import { createHarness } from '../../support/service.ts';
import { decodePart, REALM, sha256 } from '../../support/tokens.ts';

test('prints one proof that the service takes, and nothing else', async () => {
  await using folder = await createTemporaryFolder();
  const clientKey = await createKey('ES256');
  const now = Date.now() / 1000;
  const harness = await createHarness({ clientKey, replayStore: MemoryReplayStore.create(10, now - 60) });
  harness.clock.now = now;
  writeFileSync(folder.at('dpop.jwk'), JSON.stringify(clientKey.privateJwk), { mode: 0o600 });
  const opTok = harness.opTok();
  const args = ['--url', REALM, '--key', folder.at('dpop.jwk'), '--access-token', opTok];
  const { exitCode, stdout, stderr } = await runCommand(dpopProof, args);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  expect(stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/);
  expectToken(await ask(harness, { opTok, proof: stdout.trim() }));
});

test('the key is made where the file does not exist, and its thumbprint is told aside', async () => {
  await using folder = await createTemporaryFolder();
  const args = [
    '--method',
    'POST',
    '--url',
    'https://authority.example.com/token',
    '--key',
    folder.at('k.pem'),
  ];
  const first = await runCommand(dpopProof, args);
  expect(first.exitCode).toBe(0);
  expect(first.stderr).toMatch(/^Created the key .*k\.pem \(ES256\)\. .* cnf\.jkt [\w-]{43}\n$/);
  expect(statSync(folder.at('k.pem')).mode & 0o777).toBe(0o600);
  const claims = decodePart(first.stdout.trim(), 1);
  expect(claims).toMatchObject({ htm: 'POST', htu: 'https://authority.example.com/token' });
  expect(Object.keys(claims).sort()).toEqual(['htm', 'htu', 'iat', 'jti']);
  const second = await runCommand(dpopProof, args);
  expect(second.stderr).toBe('');
  expect(decodePart(second.stdout.trim(), 0)).toEqual(decodePart(first.stdout.trim(), 0));
});

test.each([0o640, 0o604])('a key file of mode %o, which others can read, is a warning', async (mode) => {
  await using folder = await createTemporaryFolder();
  const args = ['--url', REALM, '--key', folder.at('k.pem')];
  await runCommand(dpopProof, args);
  chmodSync(folder.at('k.pem'), mode);
  const { exitCode, stderr } = await runCommand(dpopProof, args);
  expect(exitCode).toBe(0);
  expect(stderr).toBe(
    `Warning: the DPoP key ${folder.at('k.pem')} can be read by other users (mode ${mode.toString(8)}); chmod 600 it\n`,
  );
});

test.each([
  ['an argument', 'op.tok.1', '', null],
  ['standard input', '-', 'op.tok.1\n', null],
  ['a file', null, '', 'op.tok.1\r\n'],
])(
  'the access token is read from %s, without the end of its line',
  async (_where, argument, input, content) => {
    await using folder = await createTemporaryFolder();
    if (content !== null) writeFileSync(folder.at('op-tok'), content);
    const token =
      argument === null ? ['--access-token-path', folder.at('op-tok')] : ['--access-token', argument];
    const args = ['--url', REALM, '--key', folder.at('k.pem'), '--nonce', 'n1', ...token];
    const { stdout } = await runCommand(dpopProof, args, input);
    expect(decodePart(stdout.trim(), 1)).toMatchObject({ htm: 'GET', ath: sha256('op.tok.1'), nonce: 'n1' });
  },
);

test.each([
  [['--access-token', 'two words'], '', 'has characters that no access token has'],
  [['--access-token', ''], '', 'is empty or has characters'],
  [['--access-token', '-'], '', 'is missing: standard input is empty'],
  [
    ['--access-token', '-'],
    'two\nlines\n',
    'standard input must hold the access token on one line, and nothing else',
  ],
  [['--access-token-path', '/nonexistent/token'], '', '/nonexistent/token: no such file (ENOENT)'],
  [['--url', 'ftp://registry.example.com/'], '', 'the URL of a proof must be http or https'],
])('%j fails without making a key', async (args, input, message) => {
  await using folder = await createTemporaryFolder();
  const all = ['--url', REALM, '--key', folder.at('k.pem'), ...args];
  const { exitCode, stdout, stderr } = await runCommand(dpopProof, all, input);
  expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
  expect(stderr).toContain(message);
  expect(stderr).not.toContain('two');
  expect(readdirSync(folder.path)).toEqual([]);
});

test.each([
  [['--key', 'k'], '--url is missing'],
  [['--url', REALM], '--key is missing'],
  [['--url', REALM, '--key', 'k', '--method', 'get'], '--method must be an HTTP method in upper case'],
  [['--url', REALM, '--key', 'k', '--nonce', ''], '--nonce must not be empty'],
  [
    ['--url', REALM, '--key', 'k', '--access-token', 'a', '--access-token-path', 'b'],
    '--access-token and --access-token-path cannot be combined',
  ],
  [['--url', REALM, '--key', 'k', '--htm', 'GET'], "Unknown option '--htm'"],
])('%j is a usage error', async (args, message) => {
  const { exitCode, stderr } = await runCommand(dpopProof, args);
  expect(exitCode).toBe(2);
  expect(stderr).toContain(message);
});
