/** An OpTok that exists already: where it is read from, what it is bound to, and what makes it unusable. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { chownSync, renameSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { generateDpopKey } from '../../src/client/dpop.ts';
import { type GivenOpTok, type GivenOpTokReader, readGivenOpTok } from '../../src/client/given-op-tok.ts';
import { certificateThumbprint } from '../../src/client/op-tok.ts';
import { writeCertificate } from '../support/certificates.ts';
import { createTemporaryFolder, runOrFail, type TemporaryFolder } from '../support/processes.ts';

const NOW = 1_800_000_000;
const dpopKey = await generateDpopKey();
const otherKey = await generateDpopKey();

let folder: TemporaryFolder;
beforeEach(async () => {
  folder = await createTemporaryFolder();
});
afterEach(async () => {
  await folder[Symbol.asyncDispose]();
});

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const jwt = (claims: Record<string, unknown> = {}) => `${encode({ alg: 'ES256' })}.${encode(claims)}.c2ln`;

function read(source: GivenOpTok, reader: Partial<GivenOpTokReader> = {}) {
  return readGivenOpTok(source, {
    env: { PATH: '/usr/bin:/bin' },
    clock: () => NOW,
    pause: Bun.sleep,
    certificate: null,
    openKey: async () => null,
    bind: null,
    ...reader,
  });
}

/** Writes the file `token` and returns it as a source. */
function file(text: string): GivenOpTok {
  writeFileSync(folder.at('token'), text);
  return { kind: 'path', path: folder.at('token') };
}

test('it comes from a file, a variable or a command, and one line end is not part of it', async () => {
  const token = jwt({ exp: NOW + 600 });
  const expected = {
    accessToken: token,
    expiresAt: NOW + 600,
    dpopKey: null,
    isBearer: true,
    isReusable: false,
  };
  expect(await read(file(`${token}\n`))).toEqual(expected);
  expect(await read({ kind: 'env', name: 'OPTOK' }, { env: { OPTOK: token } })).toEqual(expected);
  const env = { PATH: '/usr/bin:/bin', OPTOK: token };
  expect(await read({ kind: 'command', command: 'echo "$OPTOK"' }, { env })).toEqual(expected);
});

test('a file is read anew at each use', async () => {
  const source = file(jwt({ n: 1 }));
  await read(source);
  file(jwt({ n: 2 }));
  expect((await read(source)).accessToken).toBe(jwt({ n: 2 }));
});

test('a link to a file of this user or of root is followed, as Kubernetes mounts tokens', async () => {
  writeFileSync(folder.at('data'), jwt());
  symlinkSync('data', folder.at('token'));
  expect((await read({ kind: 'path', path: folder.at('token') })).accessToken).toBe(jwt());
});

test('a link to a file of another user is refused', async () => {
  // Only root can make such a file; everybody else reads one that root runs nobody's process for.
  const other = folder.at('other');
  if (userInfo().uid === 0) {
    writeFileSync(other, jwt());
    chownSync(other, 65534, 65534);
  } else await runOrFail(['sudo', '-n', 'install', '-o', 'nobody', '-m', '644', '/dev/null', other]);
  symlinkSync('other', folder.at('token'));
  await expect(read({ kind: 'path', path: folder.at('token') })).rejects.toThrow(
    'it belongs to the user 65534',
  );
});

test('a file that is empty while it is replaced is read again, and one that stays empty is reported', async () => {
  const source = file('');
  const pauses: number[] = [];
  const found = await read(source, {
    pause: async (milliseconds) => {
      if (pauses.push(milliseconds) === 3) file(jwt());
    },
  });
  expect([found.accessToken, pauses.length]).toEqual([jwt(), 3]);
  file('\n');
  await expect(read(source, { pause: async () => {} })).rejects.toThrow('the OpTok is missing');
});

test('of a file that is replaced by a rename all the time, each read is one whole OpTok', async () => {
  const tokens = [jwt({ n: 1 }), jwt({ n: 2, padding: 'x'.repeat(20_000) })];
  const source = file(tokens[0] ?? '');
  let isDone = false;
  const writer = (async () => {
    for (let count = 0; !isDone; count += 1) {
      writeFileSync(folder.at('next'), tokens[count % 2] ?? '');
      renameSync(folder.at('next'), folder.at('token'));
      if (count % 10 === 0) await Bun.sleep(0);
    }
  })();
  for (let reads = 0; reads < 100; reads += 1) {
    expect(tokens).toContain((await read(source)).accessToken);
    if (reads % 10 === 0) await Bun.sleep(1);
  }
  isDone = true;
  await writer;
});

test.each([
  ['two lines', 'a.b.c\nd.e.f\n', 'on one line, and nothing else'],
  ['quotes', '"a.b.c"\n', 'has characters that no access token has'],
  ['more than 64 KiB', 'a'.repeat(70_000), 'it has more than 65536 bytes'],
])('a file with %s is refused, and none of it is shown', async (_, text, message) => {
  const fault = await read(file(text)).catch((cause) => cause);
  expect(fault.message).toContain(message);
  expect(fault.message).not.toContain('a.b.c');
});

test('a file that is not there, a folder and a pipe are refused at once', async () => {
  const at = (path: string) => read({ kind: 'path', path });
  await expect(at(folder.at('none'))).rejects.toThrow('ENOENT');
  await expect(at(folder.path)).rejects.toThrow('it is not a regular file');
  await runOrFail(['mkfifo', folder.at('pipe')]);
  await expect(at(folder.at('pipe'))).rejects.toThrow('it is not a regular file');
});

test('an OpTok that has expired is refused with its age', async () => {
  await expect(read(file(jwt({ exp: NOW - 90 })))).rejects.toThrow('expired 90 s ago');
});

test.each([
  ['false', 'failed with exit code 1'],
  ['echo s3cret; exit 3', 'failed with exit code 3'],
  ['no-such-program-4711 2>/dev/null', 'failed with exit code 127'],
  ['true', 'the OpTok is missing'],
  ['head -c 200000 /dev/zero', 'was killed'],
])('the command %j fails with a reason, and its output is not shown', async (command, message) => {
  const fault = await read({ kind: 'command', command }).catch((cause) => cause);
  expect(fault.message).toContain(message);
  expect(fault.message).not.toContain('s3cret');
});

test('one that is bound to a DPoP key needs this key', async () => {
  const source = file(jwt({ cnf: { jkt: dpopKey.thumbprint } }));
  expect(await read(source, { openKey: async () => dpopKey })).toMatchObject({ dpopKey, isBearer: false });
  await expect(read(source)).rejects.toThrow('name its file (dpopKeyPath)');
  await expect(read(source, { openKey: async () => otherKey })).rejects.toThrow('bound to another DPoP key');
  await expect(read(source, { openKey: async () => dpopKey, bind: 'certificate' })).rejects.toThrow(
    'is not bound to a certificate, and bind is certificate',
  );
});

test('one that is bound to a certificate needs this certificate', async () => {
  const own = await Bun.file((await writeCertificate(folder, 'own')).certificatePath).text();
  const other = await Bun.file((await writeCertificate(folder, 'other')).certificatePath).text();
  const source = file(jwt({ cnf: { 'x5t#S256': certificateThumbprint(own) } }));
  expect(await read(source, { certificate: own })).toMatchObject({ dpopKey: null, isBearer: false });
  await expect(read(source)).rejects.toThrow('certPath and keyPath');
  await expect(read(source, { certificate: other })).rejects.toThrow('bound to another certificate');
  await expect(read(source, { certificate: own, bind: 'dpop' })).rejects.toThrow(
    'is not bound to a DPoP key, and bind is dpop',
  );
  // Both members: both are needed.
  const both = file(jwt({ cnf: { 'x5t#S256': certificateThumbprint(own), jkt: dpopKey.thumbprint } }));
  await expect(read(both, { openKey: async () => dpopKey })).rejects.toThrow('certPath');
  await expect(read(both, { certificate: own })).rejects.toThrow('dpopKeyPath');
});

test.each([[{}], [{ kid: 'x' }], ['text'], [null]])('a cnf %p is never taken for none', async (cnf) => {
  await expect(read(file(jwt({ cnf })))).rejects.toThrow('neither a key (jkt) nor a certificate');
});

test('a file that shrinks while it is read is read again', async () => {
  const source = file(jwt({ padding: 'x'.repeat(1000) }));
  truncateSync(folder.at('token'), 0);
  await expect(read(source, { pause: async () => void file(jwt()) })).resolves.toMatchObject({
    accessToken: jwt(),
  });
});
