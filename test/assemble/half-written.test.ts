/** Files that another process is still writing: what is half there never comes into force. */
import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import type { Runtime } from '../../src/assemble/runtime.ts';
import { createKey } from '../support/keys.ts';
import { start } from '../support/processes.ts';
import { noCertificate } from '../support/service.ts';
import { REALM, SERVICE } from '../support/tokens.ts';
import { createInstallation, pemOf } from './installation.ts';

setDefaultTimeout(60_000);

const site = await createInstallation();
afterAll(() => site[Symbol.asyncDispose]());

async function statusFor(runtime: Runtime, license: string): Promise<number> {
  const opTok = site.opTok({ claims: { 'stellaops:license': license } });
  const headers = { Authorization: `DPoP ${opTok}`, DPoP: site.proof(opTok) };
  return (await runtime.handle(new Request(`${REALM}?service=${SERVICE}`, { headers }), noCertificate))
    .status;
}

/** Has another process write a file in pieces; resolves when the first of them is there. */
async function writeInPieces(name: string, pieces: readonly (string | Buffer)[], pauseMs = 100) {
  const script = `
    const { openSync, writeSync } = require('node:fs');
    const descriptor = openSync(process.argv[1], 'w');
    for (const [index, piece] of JSON.parse(process.argv[2]).entries()) {
      if (index > 0) await Bun.sleep(${pauseMs});
      writeSync(descriptor, Buffer.from(piece, 'base64'));
      if (index === 0) console.log('begun');
    }`;
  const encoded = JSON.stringify(pieces.map((piece) => Buffer.from(piece).toString('base64')));
  const writer = start([process.execPath, '-e', script, site.folder.at(name), encoded]);
  await writer.waitForLine(/begun/);
  return { exited: writer.exited };
}

function cut(text: string, count: number): string[] {
  const length = Math.ceil(text.length / count);
  return Array.from({ length: count }, (_, index) => text.slice(index * length, (index + 1) * length));
}

describe('a reload that is asked for while another process', () => {
  test('writes the revocation list waits until that is whole', async () => {
    site.configure({ revokedLicensesPath: 'revoked.txt' });
    site.write('revoked.txt', 'LIC-1\nLIC-2\n');
    const runtime = await site.open();
    // Each piece is a list by itself.
    const writer = await writeInPieces('revoked.txt', ['# new\n', 'LIC-1\n', '', 'LIC-2\n', 'LIC-3\n']);
    const reload = runtime.reload();
    let isReloaded = false;
    void reload.then(() => {
      isReloaded = true;
    });
    while (!isReloaded) {
      expect(await statusFor(runtime, 'LIC-2')).toBe(403);
      await Bun.sleep(20);
    }
    expect(await reload).toEqual([]);
    await writer.exited;
    const statuses = ['LIC-1', 'LIC-2', 'LIC-3', 'LIC-4'].map((license) => statusFor(runtime, license));
    expect(await Promise.all(statuses)).toEqual([403, 403, 403, 200]);
  });

  test('writes the configuration takes no part of it for the whole', async () => {
    site.configure({ revokedLicenses: ['LIC-1'] });
    const runtime = await site.open();
    const { revokedLicenses: _, ...head } = JSON.parse(
      readFileSync(site.folder.at('registry-token.yaml'), 'utf8'),
    );
    // In YAML what ends before revokedLicenses is a configuration of its own.
    const yaml = Object.entries(head).map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`);
    const writer = await writeInPieces('registry-token.yaml', [
      yaml.join(''),
      '',
      'revokedLicenses:\n',
      '- LIC-1\n- LIC-2\n',
    ]);
    expect(await runtime.reload()).toEqual([]);
    await writer.exited;
    expect([await statusFor(runtime, 'LIC-1'), await statusFor(runtime, 'LIC-2')]).toEqual([403, 403]);
  });

  test('writes a file that the configuration names only now waits for it too', async () => {
    site.configure();
    const runtime = await site.open();
    site.configure({ revokedLicensesPath: 'later.txt' });
    await Bun.sleep(400);
    const writer = await writeInPieces('later.txt', ['LIC-1\n', 'LIC-2\n', 'LIC-3\n', 'LIC-4\n']);
    expect(await runtime.reload()).toEqual([]);
    await writer.exited;
    expect([await statusFor(runtime, 'LIC-1'), await statusFor(runtime, 'LIC-4')]).toEqual([403, 403]);
  });

  test('writes key and plans takes them whole', async () => {
    site.configure({ plansPath: 'plans.json' });
    site.write('plans.json', '{"a":{}}');
    const runtime = await site.open();
    const { privateKey, thumbprint } = await createKey('ES384');
    const writers = [
      await writeInPieces('plans.json', cut('{"a":{},"b":{},"c":{}}', 5)),
      await writeInPieces('signing.pem', cut(pemOf(privateKey), 4)),
    ];
    expect(await runtime.reload()).toEqual([]);
    await Promise.all(writers.map(({ exited }) => exited));
    expect(runtime.service.signingKey.thumbprint).toBe(thumbprint);
    expect([...runtime.service.loaded.configuration.plans.keys()]).toEqual(['community', 'a', 'b', 'c']);
  });

  test('does not stop writing waits two seconds, and what is cut does not come into force', async () => {
    site.configure({ revokedLicensesPath: 'revoked.txt' });
    site.write('revoked.txt', 'LIC-1\n');
    const runtime = await site.open();
    const endless = Array.from({ length: 60 }, (_, index) => (index < 50 ? `LIC-${index}-` : `${index}\n`));
    const writer = await writeInPieces('revoked.txt', endless, 60);
    const since = performance.now();
    expect((await runtime.reload()).map(({ message }) => message)).toContain(
      'the last line has no line end; is the file whole?',
    );
    expect(performance.now() - since).toBeGreaterThan(1500);
    expect(await statusFor(runtime, 'LIC-1')).toBe(403);
    await writer.exited;
  });
});

describe('a byte order mark', () => {
  test('is no part of any text file', async () => {
    const mark = (text: string) => `\ufeff${text}`;
    const { privateKey } = await createKey('ES256');
    const jwks = readFileSync(site.folder.at('jwks.json'), 'utf8');
    site.write('signing.pem', mark(pemOf(privateKey)));
    site.write('jwks.json', mark(jwks));
    site.write('revoked.txt', mark('LIC-1\r'));
    site.write('plans.json', mark('{"pro":{}}'));
    site.configure({
      revokedLicensesPath: 'revoked.txt',
      plansPath: 'plans.json',
      signing: { additionalKeys: ['next.pem'] },
    });
    site.write('next.pem', mark(pemOf((await createKey('ES256')).privateKey).replaceAll('\n', '\r\n')));
    const written = readFileSync(site.folder.at('registry-token.yaml'), 'utf8');
    site.write('registry-token.yaml', mark(written.replaceAll('\n', '\r')));
    expect(await site.mistakes()).toBe('');
    site.write('jwks.json', jwks);
  });
});
