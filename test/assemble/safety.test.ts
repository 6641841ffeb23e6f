/** What is refused at the start although each value alone is right. */
import { afterAll, describe, expect, test } from 'bun:test';
import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describeWith } from '../support/debian-parts.ts';
import { runOrFail } from '../support/processes.ts';
import { REALM } from '../support/tokens.ts';
import { createInstallation, type Sections } from './installation.ts';

const site = await createInstallation();
afterAll(() => site[Symbol.asyncDispose]());

const sampleKey = readFileSync(new URL('../../etc/registry-signing-sample.pem', import.meta.url), 'utf8');
site.write('sample.pem', sampleKey);

async function mistakesOf(sections: Sections): Promise<string> {
  site.configure(sections);
  return site.mistakes();
}

describe('the sample key', () => {
  const sample = (listen: string, realm: string | string[], more: Sections = {}) =>
    mistakesOf({ server: { listen }, registry: { realm }, signing: { keyPath: 'sample.pem' }, ...more });
  const loopback = 'http://localhost:8085/token';

  test.each([
    ['127.0.0.1:8085', loopback],
    ['localhost:8085', 'http://127.0.0.1:8085/token'],
    ['[::1]:8085', 'http://[::1]:8085/token'],
    ['127.255.0.9:8085', 'https://localhost/token'],
    ['[::ffff:127.0.0.1]:8085', loopback],
    ['127.0.0.1:8085', [loopback, 'http://127.0.0.1:8085/token']],
  ])('signs where %s listens for %p', async (listen, realm) => {
    expect(await sample(listen, realm)).toBe('');
  });

  test.each([
    ['0.0.0.0:8085', loopback, '0.0.0.0'],
    ['[::]:8085', loopback, '::'],
    ['192.0.2.1:8085', loopback, '192.0.2.1'],
    ['registry:8085', loopback, 'registry'],
    ['localhost.example.com:8085', loopback, 'localhost.example.com'],
    ['128.0.0.1:8085', loopback, '128.0.0.1'],
    ['127.0.0.1:8085', REALM, 'registry.example.com'],
    ['127.0.0.1:8085', [loopback, REALM], 'registry.example.com'],
    ['127.0.0.1:8085', 'http://127.0.0.1.example.com/token', '127.0.0.1.example.com'],
    ['127.0.0.1:8085', 'http://notlocalhost/token', 'notlocalhost'],
    ['127.evil.example:8085', loopback, '127.evil.example'],
    ['127.0.0.1:8085', 'http://127.evil.example/token', '127.evil.example'],
    ['127.0.0.1:8085', 'https://registry.localhost/token', 'registry.localhost'],
    ['127.0.0.1:8085', 'http://[2001:db8::1]/token', '[2001:db8::1]'],
  ])('does not sign where %s listens for %p', async (listen, realm, host) => {
    expect(await sample(listen, realm)).toBe(
      `signing.keyPath: is the sample key, which is public, and ${host} is not loopback; make a key: registry-token keygen --out DIR`,
    );
  });

  test('is published beside another key on loopback, and not beyond it', async () => {
    const signing = { additionalKeys: ['sample.pem'] };
    expect(
      await mistakesOf({ signing, server: { listen: '127.0.0.1:8085' }, registry: { realm: loopback } }),
    ).toBe('');
    expect(await mistakesOf({ signing, server: { listen: '0.0.0.0:8085' } })).toStartWith(
      'signing.additionalKeys: is the sample key, which is public',
    );
  });

  test('is known whatever its form and file', async () => {
    const key = createPrivateKey(sampleKey);
    const forms = [
      key.export({ type: 'sec1', format: 'pem' }),
      key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }),
      `words\n${sampleKey.replaceAll('\n', '\r\n')}`,
    ];
    for (const form of forms) {
      site.write('mine.pem', form.toString());
      const signing = { keyPath: 'mine.pem', keyPassword: 'x', keyId: 'mine' };
      expect(await mistakesOf({ server: { listen: '0.0.0.0:8085' }, signing })).toStartWith(
        'signing.keyPath: is the sample key',
      );
    }
  });

  test('does not sign where the metrics listen beyond loopback', async () => {
    const told = await sample('127.0.0.1:8085', loopback, { telemetry: { listen: '0.0.0.0:9095' } });
    expect(told).not.toBe('');
  });

  test('is the only key that this is asked of', async () => {
    expect(await mistakesOf({ server: { listen: '0.0.0.0:8085' } })).toBe('');
  });
});

describe('the Authority', () => {
  const authority = (issuer: string, metadataUrl?: string) =>
    mistakesOf({ authority: { issuer, metadataUrl, jwksPath: undefined } });

  test.each([
    'https://authority.example.com',
    'https://authority.example.com/realms/x/',
    'http://127.0.0.1:8086',
    'http://localhost:8086',
    'http://[::1]:8086',
  ])('may be at %s', async (issuer) => {
    expect(await authority(issuer)).toBe('');
  });

  test.each([
    'http://authority.example.com',
    'http://10.0.0.1:8086',
    'HTTP://authority',
    'http://127.evil.example',
    'http://localhost.evil.example',
    'http://authority.localhost',
    'http://0.0.0.0:8086',
  ])('is refused at %s', async (issuer) => {
    expect(await authority(issuer)).toBe(
      'authority.issuer: uses http, and not on loopback: anyone in between could replace the keys; use https or jwksPath',
    );
  });

  test('is judged by the URL that is fetched', async () => {
    expect(await authority('http://authority.example.com', 'https://authority.example.com/metadata')).toBe(
      '',
    );
    expect(
      await authority('https://authority.example.com', 'http://authority.example.com/metadata'),
    ).toStartWith('authority.metadataUrl: uses http, and not on loopback');
  });

  test('may have any issuer where its keys come from a file', async () => {
    expect(await mistakesOf({ authority: { issuer: 'http://authority.example.com' } })).toBe('');
  });
});

describe('a realm', () => {
  test.each(['/token', '/auth/token', '/v2/token', '/', '/metrics/token', '/healthz2'])(
    'may have the path %s',
    async (path) => {
      expect(await mistakesOf({ registry: { realm: `https://registry.example.com${path}` } })).toBe('');
    },
  );

  test.each(['/healthz', '/readyz', '/metrics', '/.well-known/jwks.json', '/metrics?x=1', '/a/../metrics'])(
    'is refused at %s',
    async (path) => {
      const realm = ['https://registry.example.com/token', `https://registry.example.com${path}`];
      expect(await mistakesOf({ registry: { realm } })).toMatch(
        /^registry\.realm: \/[\w./-]+ is reserved for another endpoint$/,
      );
    },
  );
});

test('mistakes of every kind are told at once', async () => {
  const told = await mistakesOf({
    server: { listen: '0.0.0.0:1' },
    authority: { issuer: 'http://authority.example.com', jwksPath: undefined, caPath: 'nothing.pem' },
    signing: { keyPath: 'sample.pem' },
    registry: { realm: 'https://registry.example.com/metrics' },
  });
  expect(
    told
      .split('\n')
      .map((line) => line.split(':', 1)[0] ?? '')
      .sort(),
  ).toEqual(['authority.caPath', 'authority.issuer', 'registry.realm', 'signing.keyPath']);
});

describeWith(['openssl'], 'an additional key', () => {
  test('of a kind that cannot sign is told at its key', async () => {
    const dsa = await runOrFail(['openssl', 'dsaparam', '-genkey', '-noout', '1024']);
    site.write('dsa.pem', dsa);
    expect(await mistakesOf({ signing: { additionalKeys: ['dsa.pem'] } })).toMatch(
      /^signing\.additionalKeys\S*: A key of type dsa cannot sign/,
    );
  });
});

test('shows no password in a URL that is written without slashes', async () => {
  for (const metadataUrl of ['https:user:hunter2@host/', 'https:\\\\user:hunter2@host/'])
    expect(await mistakesOf({ authority: { metadataUrl } })).not.toContain('hunter2');
});

describe('the file for used proofs', () => {
  const mistakesFor = (statePath: string) => mistakesOf({ senderConstraint: { replay: { statePath } } });

  test('is none that holds something else: it would be overwritten', async () => {
    for (const name of ['sample.pem', '/dev/null', '.'])
      expect(await mistakesFor(name)).toMatch(
        /^senderConstraint\.replay\.statePath: \S+ contains something other than used proofs and would be overwritten; name another file$/,
      );
    expect(readFileSync(site.folder.at('sample.pem'), 'utf8')).toBe(sampleKey);
  });

  test('need not be there, and may be empty', async () => {
    site.write('empty.state', '');
    expect([await mistakesFor('replay.state'), await mistakesFor('empty.state')]).toEqual(['', '']);
  });
});
