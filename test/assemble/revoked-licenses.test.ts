/** `revokedLicensesPath`: which lines of the file revoke a licence, however long it is and whoever wrote it. */
import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import type { Runtime } from '../../src/assemble/runtime.ts';
import { noCertificate } from '../support/service.ts';
import { REALM, SERVICE } from '../support/tokens.ts';
import { createInstallation } from './installation.ts';

setDefaultTimeout(30_000);

const site = await createInstallation();
afterAll(() => site[Symbol.asyncDispose]());

async function statusFor(runtime: Runtime, license: string): Promise<number> {
  const opTok = site.opTok({ claims: { 'stellaops:license': license } });
  const headers = { Authorization: `DPoP ${opTok}`, DPoP: site.proof(opTok) };
  const request = new Request(`${REALM}?service=${SERVICE}`, { headers });
  return (await runtime.handle(request, noCertificate)).status;
}

function openWith(list: string | Uint8Array): Promise<Runtime> {
  site.write('revoked.txt', list);
  site.configure({ revokedLicensesPath: 'revoked.txt' });
  return site.open();
}

test.each<[string, string]>([
  ['lines', 'LIC-1\nLIC-2\n'],
  ['lines without a last line break', 'LIC-1\nLIC-2'],
  ['lines of Windows', 'LIC-1\r\nLIC-2\r\n'],
  ['lines of Windows with comments', '# stolen\r\nLIC-1 # in May\r\nLIC-2\t# in June\r\n#LIC-3\r\n'],
  ['a byte order mark', '\ufeffLIC-1\nLIC-2\n'],
  ['blank lines and spaces', '\n\n  LIC-1  \n\t\nLIC-2\t\n\n'],
  ['comments', '# stolen\nLIC-1 # in May\n  # not this: LIC-3\n#LIC-3\nLIC-2\t# in June\n'],
])('a list with %s revokes what it names and nothing else', async (_, list) => {
  const runtime = await openWith(list);
  const statuses = await Promise.all(
    ['LIC-1', 'LIC-2', 'LIC-3', 'LIC-1 ', '', '#', '# stolen', 'lic-1'].map((name) =>
      statusFor(runtime, name),
    ),
  );
  expect(statuses).toEqual([403, 403, 200, 200, 200, 200, 200, 200]);
});

test('a licence may hold a # where no space is before it', async () => {
  const runtime = await openWith('LIC#7\n');
  expect([await statusFor(runtime, 'LIC#7'), await statusFor(runtime, 'LIC')]).toEqual([403, 200]);
});

test.each<[string, Uint8Array]>([
  ['UTF-16, as PowerShell writes it', Buffer.from('\ufeffLIC-1\r\n', 'utf16le')],
  ['another encoding', Buffer.from('LIZENZ-Ä\n', 'latin1')],
])('a list in %s is a mistake, for it would revoke nothing', async (_, list) => {
  site.write('revoked.txt', list);
  site.configure({ revokedLicensesPath: 'revoked.txt' });
  expect(await site.mistakes()).toStartWith('revokedLicensesPath: is not text in UTF-8');
});

test('an empty list revokes nothing', async () => {
  expect(await statusFor(await openWith(''), 'LIC-1')).toBe(200);
});

test('a reload picks up a new line, and forgets one that is gone', async () => {
  const runtime = await openWith('LIC-1\n');
  site.write('revoked.txt', 'LIC-2\n');
  expect(await runtime.reload()).toEqual([]);
  expect([await statusFor(runtime, 'LIC-1'), await statusFor(runtime, 'LIC-2')]).toEqual([200, 403]);
});

test('a reload for which the list is missing keeps the old one in force', async () => {
  const runtime = await openWith('LIC-1\n');
  site.configure({ revokedLicensesPath: 'gone.txt' });
  expect((await runtime.reload()).map(({ key }) => key)).toEqual(['revokedLicensesPath']);
  expect(await statusFor(runtime, 'LIC-1')).toBe(403);
});

test('a million lines are looked up exactly, and requests are answered while they are read', async () => {
  const runtime = await openWith('LIC-1\n');
  const uuids = Array.from({ length: 1_000_000 }, (_, index) => `LIC-${index}-0123-4567-89ab-cdef01234567`);
  site.write('revoked.txt', uuids.join('\n'));
  const events: string[] = [];
  const reload = runtime.reload().then((mistakes) => {
    expect(mistakes).toEqual([]);
    events.push('reloaded');
  });
  for (let asked = 0; asked < 20; asked += 1) {
    await statusFor(runtime, 'LIC-2');
    events.push('answered');
  }
  await reload;
  expect(events.at(-1)).toBe('reloaded');
  expect(await statusFor(runtime, uuids[0] ?? '')).toBe(403);
  expect(await statusFor(runtime, uuids.at(-1) ?? '')).toBe(403);
  expect(await statusFor(runtime, 'LIC-1000000-0123-4567-89ab-cdef01234567')).toBe(200);
});
