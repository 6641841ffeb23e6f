/** `revokedLicensesPath`: which lines of the file revoke a licence, however long it is and whoever wrote it. */
import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { FileReader, FileSnapshot } from '../../src/assemble/files.ts';
import { openRevokedLicenses } from '../../src/assemble/material.ts';
import type { Runtime } from '../../src/assemble/runtime.ts';
import { loadConfiguration } from '../../src/config/load.ts';
import { formatMistake } from '../../src/document/mistakes.ts';
import { runOrFail } from '../support/processes.ts';
import { noCertificate } from '../support/service.ts';
import { REALM, SERVICE } from '../support/tokens.ts';
import { createInstallation } from './installation.ts';

setDefaultTimeout(30_000);

const site = await createInstallation();
afterAll(() => site[Symbol.asyncDispose]());

/** Lines of the log, as JSON. */
const linesWith = (text: string) =>
  site.logLines.map((line) => JSON.stringify(line)).filter((line) => line.includes(text));

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
  ['lines of Windows', 'LIC-1\r\nLIC-2\r\n'],
  ['lines of an old Macintosh', 'LIC-1\rLIC-2\r'],
  ['a byte order mark', '\ufeffLIC-1\nLIC-2\n'],
  ['blank lines and spaces', '\n\n  LIC-1  \n\t\nLIC-2\t\n\n'],
  ['comments on lines of their own', '# stolen\nLIC-1\n  # not this: LIC-3\n#LIC-3\nLIC-2\n'],
])('a list with %s revokes what it names and nothing else', async (_, list) => {
  const runtime = await openWith(list);
  const statuses = await Promise.all(
    ['LIC-1', 'LIC-2', 'LIC-3', 'LIC-1 ', '', '#', '# stolen', 'lic-1'].map((name) =>
      statusFor(runtime, name),
    ),
  );
  expect(statuses).toEqual([403, 403, 200, 200, 200, 200, 200, 200]);
});

test('a list that is a named pipe is a mistake, and holds nothing up', async () => {
  await runOrFail(['mkfifo', site.folder.at('pipe')]);
  site.configure({ revokedLicensesPath: 'pipe' });
  expect(await site.mistakes()).toInclude('is a named pipe; name a regular file');
});

test.each<[string, Uint8Array | string, string]>([
  [
    'UTF-16, as PowerShell writes it',
    Buffer.from('\ufeffLIC-1\r\n', 'utf16le'),
    ':1:1: revokedLicensesPath: is UTF-16; save it as UTF-8',
  ],
  ['another encoding', Buffer.from('A\nLIZENZ-Ä\n', 'latin1'), ':2:8: revokedLicensesPath: is not UTF-8'],
  ['CSV', 'LIC-1\nLIC-2,stolen\n', ':2:6: revokedLicensesPath: is not a licence: it has "," in it'],
  [
    'a comment beside a licence',
    'LIC-1 # stolen\n',
    ':1:6: revokedLicensesPath: is not a licence: it has " " in it',
  ],
  [
    'a line that was cut',
    'LIC-1\nLI',
    ':2:3: revokedLicensesPath: the last line has no line end; is the file whole?',
  ],
])('nothing starts with a list in %s, and the place is told', async (_, list, message) => {
  site.write('revoked.txt', list);
  site.configure({ revokedLicensesPath: 'revoked.txt' });
  await expect(site.open()).rejects.toThrow(`revoked.txt${message}`);
});

describe('a reload of a list', () => {
  test.each<[string, string | Uint8Array]>([
    ['that is empty', ''],
    ['that has comments alone', '# cleaned up\n'],
    ['that is cut', 'LIC'],
    ['in another format', 'LIC-1,LIC-2\n'],
    ['in another encoding', Buffer.from('LIC-1\n', 'utf16le')],
  ])('%s keeps the former one in force', async (_, list) => {
    const runtime = await openWith('LIC-1\nLIC-2\n');
    site.write('revoked.txt', list);
    const told = (await runtime.reload()).map(({ source, key }) => `${source} ${key}`);
    expect([...new Set(told)]).toEqual([`${site.folder.at('revoked.txt')} revokedLicensesPath`]);
    expect([await statusFor(runtime, 'LIC-1'), await statusFor(runtime, 'LIC-2')]).toEqual([403, 403]);
    site.write('revoked.txt', 'LIC-2\n');
    expect(await runtime.reload()).toEqual([]);
    expect([await statusFor(runtime, 'LIC-1'), await statusFor(runtime, 'LIC-2')]).toEqual([200, 403]);
  });

  test('that says "# empty" revokes nothing any more', async () => {
    const runtime = await openWith('LIC-1\n');
    site.write('revoked.txt', '# empty\n');
    expect(await runtime.reload()).toEqual([]);
    expect(await statusFor(runtime, 'LIC-1')).toBe(200);
  });

  test('that is shorter by more than a tenth is a warning in the log, and by a tenth is none', async () => {
    const listOf = (count: number) => Array.from({ length: count }, (_, index) => `LIC-${index}\n`).join('');
    const runtime = await openWith(listOf(100));
    const warnings = () => linesWith('the number of revoked licences fell');
    const before = warnings().length;
    site.write('revoked.txt', listOf(90));
    expect(await runtime.reload()).toEqual([]);
    expect(warnings()).toHaveLength(before);
    site.write('revoked.txt', listOf(80));
    expect(await runtime.reload()).toEqual([]);
    expect(warnings().slice(before)).toEqual([expect.stringContaining('"before":90,"revokedLicenses":80')]);
  });

  test('that fails is told again every minute until it is mended', async () => {
    const runtime = await openWith('LIC-1\n');
    const reminders = () => linesWith('still not reloaded');
    const before = reminders().length;
    site.write('revoked.txt', 'LIC-1,\n');
    expect(await runtime.reload()).toHaveLength(1);
    for (const later of [30, 29, 2, 30, 31]) {
      site.clock.now += later;
      runtime.remind();
    }
    expect(reminders().slice(before)).toEqual(Array(2).fill(expect.stringContaining('revoked.txt:1:6')));
    site.write('revoked.txt', 'LIC-1\n');
    expect(await runtime.reload()).toEqual([]);
    site.clock.now += 600;
    runtime.remind();
    expect(reminders()).toHaveLength(before + 2);
    site.clock.now -= 722;
  });
});

describe('revocations enter although', () => {
  const faults: [string, () => void, RegExp][] = [
    ['the signing key is broken', () => site.write('signing.pem', 'no key'), /signing\.keyPath/],
    ['the configuration is no YAML', () => site.write('registry-token.yaml', 'server: ['), /not valid YAML/],
    [
      'a value is wrong',
      () => site.configure({ revokedLicensesPath: 'revoked.txt', signing: { lifetime: '2d' } }),
      /signing\.lifetime/,
    ],
    [
      'only a restart could change what changed',
      () => site.configure({ revokedLicensesPath: 'revoked.txt', server: { listen: '127.0.0.1:1' } }),
      /restart/,
    ],
  ];
  test.each(faults)('%s, and the log says which part failed', async (_, breakIt, message) => {
    const runtime = await openWith('LIC-1\n');
    const key = readFileSync(site.folder.at('signing.pem'));
    const { generation } = runtime.service;
    site.write('revoked.txt', 'LIC-1\nLIC-2\n');
    breakIt();
    try {
      expect((await runtime.reload()).map(formatMistake).join('\n')).toMatch(message);
      expect([await statusFor(runtime, 'LIC-1'), await statusFor(runtime, 'LIC-2')]).toEqual([403, 403]);
      expect(await statusFor(runtime, 'LIC-3')).toBe(200);
      expect(runtime.service.generation).toBe(generation + 1);
      expect(linesWith('only the revocations').at(-1)).toInclude('"revokedLicenses":2');
      // Nothing new: no further generation.
      await runtime.reload();
      expect(runtime.service.generation).toBe(generation + 1);
    } finally {
      site.write('signing.pem', key);
    }
  });

  test('they stand in the configuration, whose other parts are broken', async () => {
    site.configure({ revokedLicenses: ['LIC-1'] });
    const runtime = await site.open();
    site.configure({ revokedLicenses: ['LIC-2'], signing: { keyPath: 'nothing.pem' } });
    expect(await runtime.reload()).toHaveLength(1);
    expect([await statusFor(runtime, 'LIC-1'), await statusFor(runtime, 'LIC-2')]).toEqual([200, 403]);
  });

  test('but not where the list itself has mistakes', async () => {
    const runtime = await openWith('LIC-1\n');
    site.write('revoked.txt', 'LIC-2,\n');
    site.configure({ revokedLicensesPath: 'revoked.txt', signing: { lifetime: '2d' } });
    expect((await runtime.reload()).map(({ key }) => key).sort()).toEqual([
      'revokedLicensesPath',
      'signing.lifetime',
    ]);
    expect([await statusFor(runtime, 'LIC-1'), await statusFor(runtime, 'LIC-2')]).toEqual([403, 200]);
  });
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

test('a reload keeps the list in use while its file has the same content, and reads a changed one', async () => {
  const runtime = await openWith('LIC-1\n');
  const before = runtime.service.listedLicenses;
  site.write('revoked.txt', 'LIC-1\n');
  expect(await runtime.reload()).toEqual([]);
  expect(runtime.service.listedLicenses).toBe(before);
  site.write('revoked.txt', 'LIC-9\n');
  expect(await runtime.reload()).toEqual([]);
  expect([await statusFor(runtime, 'LIC-1'), await statusFor(runtime, 'LIC-9')]).toEqual([200, 403]);
  expect(runtime.service.revokedLicenses).toBe(1);
});

test('other work of the thread has its turn, again and again, while a long list is read', async () => {
  site.write('revoked.txt', Array.from({ length: 100_000 }, (_, index) => `LIC-${index}\n`).join(''));
  site.configure({ revokedLicensesPath: 'revoked.txt' });
  const loaded = loadConfiguration(site.folder.at('registry-token.yaml'), {});
  let turns = 0;
  let isRead = false;
  const takeTurns = () => {
    turns += 1;
    if (!isRead) setImmediate(takeTurns);
  };
  setImmediate(takeTurns);
  const licenses = await openRevokedLicenses(loaded, new FileReader(loaded, new FileSnapshot()));
  isRead = true;
  expect(licenses.size).toBe(100_000);
  expect(turns).toBeGreaterThan(10);
});

test('300,000 lines are looked up exactly, and requests are answered while they are read', async () => {
  const runtime = await openWith('LIC-1\n');
  const uuids = Array.from({ length: 300_000 }, (_, index) => `LIC-${index}-0123-4567-89ab-cdef01234567`);
  site.write('revoked.txt', uuids.map((uuid) => `${uuid}\n`).join(''));
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
  expect(await statusFor(runtime, 'LIC-300000-0123-4567-89ab-cdef01234567')).toBe(200);
});
