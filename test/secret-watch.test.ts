/** That no output of the tests holds a secret is looked after by test/support/secret-watch.ts: here it is shown one. */
import { describe, expect, test } from 'bun:test';
import { randomUUID } from 'node:crypto';
import { dpopProof } from '../src/cli/client/dpop-proof.ts';
import type { Command, CommandContext } from '../src/cli/command.ts';
import { version } from '../src/cli/version.ts';
import { readSources, withoutComments } from './support/imports.ts';
import { createKey } from './support/keys.ts';
import { createTemporaryFolder, run, start } from './support/processes.ts';
import { runCommand } from './support/run-command.ts';
import { checkOutput, findSecret, keepSecret } from './support/secret-watch.ts';
import { AUDIENCE, ISSUER, signWith } from './support/tokens.ts';

const key = await createKey('ES256');
const jws = signWith(
  { header: { alg: 'ES256', typ: 'at+jwt' }, claims: { iss: ISSUER, aud: AUDIENCE } },
  key,
  {},
);
const pem = key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

const planted: readonly (readonly [kind: string, text: string])[] = [
  ['a token', `{"message":"refused","detail":"${jws}"}`],
  ['a token in a URL', `GET /token?password=${jws}&service=x`],
  ['a private key', `cannot read ${pem}`],
  ['a private key as JSON has it', JSON.stringify({ detail: pem })],
  ['a private JWK', JSON.stringify({ d: 'x'.repeat(43), kty: 'EC' })],
  ['a private JWK inside a string', JSON.stringify({ detail: JSON.stringify(key.privateJwk) })],
  ['the private part of a key of the tests', `d = ${key.privateJwk.d}`],
  ['Basic credentials', `authorization: Basic ${btoa(`any:${jws}`)}`],
  ['a URL with a password', 'redis://:hunter2hunter2@127.0.0.1:6379 is down'],
  ['a secret that a test made', `client secret ${keepSecret(randomUUID())}`],
];

/** Writes its argument to standard error, as a child of the tests. */
const writes = (text: string) => [process.execPath, '-e', 'process.stderr.write(process.argv[1])', text];

function acting(act: (context: CommandContext) => void): Command {
  const run = async (context: CommandContext) => {
    act(context);
    return 0;
  };
  return { ...version, run };
}

describe('a test fails', () => {
  test.each(planted)('whose child writes %s to its log', async (_, text) => {
    await expect(run(writes(`first line\n${text}\n`))).rejects.toThrow(
      /^SECRET in the output .*, line 2\.$/s,
    );
    const child = start(writes(text));
    await expect(child.exited).rejects.toThrow('SECRET');
    await expect(child.stop()).rejects.toThrow('SECRET');
  });

  test.each(planted)('whose command in the same process writes %s', async (_, text) => {
    const telling = acting(({ tell }) => tell(text));
    await expect(runCommand(telling, [])).rejects.toThrow('SECRET');
    const printing = acting(({ print }) => print(text));
    await expect(runCommand(printing, [])).rejects.toThrow('SECRET');
  });

  test.each(planted)('and the whole suite, where its own log has %s', async (_, text) => {
    const watch = [process.execPath, 'run', new URL('support/secret-watch.ts', import.meta.url).pathname];
    const shown = text.includes('client secret') || text.startsWith('d = ');
    const { exitCode, stderr } = await run(watch, { input: `(pass) a test\n${text}\n` });
    // Of the secrets that are known by their text alone, another process knows nothing.
    expect(exitCode).toBe(shown ? 0 : 1);
    expect(stderr).not.toContain(text);
  });
});

describe('nothing is said', () => {
  test('of the proof that dpop-proof is there to print, and all the same of one in its log', async () => {
    await using folder = await createTemporaryFolder();
    const words = ['--method', 'GET', '--url', 'http://localhost/token', '--access-token', jws];
    const { stdout } = await runCommand(dpopProof, [...words, '--key', folder.at('dpop.pem')]);
    expect(findSecret(stdout)).toStartWith('a signed token or proof');
    expect(() => checkOutput(['dist/registry-token', 'dpop-proof'], { stderr: stdout })).toThrow('SECRET');
  });

  test('of names, identifiers, public keys, thumbprints and certificates', () => {
    const harmless = [
      `kid=${key.thumbprint} jti=${randomUUID()}`,
      JSON.stringify(key.publicJwk),
      key.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
      'WWW-Authenticate: Basic realm="registry-token.example.com"',
      'redis://127.0.0.1:6379 http://[::1]:8085/token https://registry.example.com:5000/v2/',
    ];
    for (const text of harmless) expect([text, findSecret(text)]).toEqual([text, null]);
  });
});

test('every child of the tests is started where its output is looked through', () => {
  const others = ['test/support/processes.ts', 'test/secret-watch.test.ts'];
  // A log that nobody reads; and the bench, which would measure the reader.
  const isUnread = (path: string) => path === 'test/e2e/unread-log.test.ts' || path.startsWith('test/bench/');
  const starting = readSources('test')
    .filter(({ text }) => /\bBun\.(?:spawn|\$)|\bchild_process\b/.test(withoutComments(text)))
    .map(({ path }) => path);
  expect(starting.filter((path) => !others.includes(path) && !isUnread(path))).toEqual([]);
});
