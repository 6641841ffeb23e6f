/** Open TLS connections of the real service while the authorities of clients, and the time, change. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { copyFile, writeFile } from 'node:fs/promises';
import { stringify } from 'yaml';
import { describeWith } from '../support/debian-parts.ts';
import { createKey, type TestKey } from '../support/keys.ts';
import { createMovableClock, type MovableClock } from '../support/movable-clock.ts';
import {
  type Child,
  createTemporaryFolder,
  findFreePort,
  settled,
  start,
  type TemporaryFolder,
  wallClock,
} from '../support/processes.ts';
import { serviceCommand } from '../support/running-service.ts';
import { connectTls, getRequest, type HttpAnswer, type TlsClient } from '../support/tls-client.ts';
import {
  type CertificateAuthority,
  createCertificateAuthority,
  type TlsIdentity,
} from '../support/tls-identities.ts';
import { AUDIENCE, ISSUER, opTokMembers, SERVICE, signWith } from '../support/tokens.ts';

setDefaultTimeout(60_000);

/** Enough that each worker has some. */
const CONNECTIONS = 12;
const DAY = 86_400;

describeWith(['openssl', 'faketime'], 'open connections of the TLS listener', () => {
  describe.each([1, 2])('with %d workers', (workers) => {
    let folder: TemporaryFolder;
    let authority: CertificateAuthority;
    let other: CertificateAuthority;
    let alice: TlsIdentity;
    let authorityKey: TestKey;
    let clock: MovableClock;
    let port: number;
    let child: Child;

    beforeAll(async () => {
      folder = await createTemporaryFolder();
      clock = await createMovableClock();
      authority = await createCertificateAuthority(folder, 'authority');
      other = await createCertificateAuthority(folder, 'other');
      const server = await authority.issue('server');
      alice = await authority.issue('alice', { days: 1 });
      authorityKey = await createKey('ES256');
      port = await findFreePort();
      const { privateKey } = await createKey('ES256');
      await writeFile(folder.at('signing.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
      const keys = [{ ...authorityKey.publicJwk, kid: authorityKey.thumbprint }];
      await writeFile(folder.at('jwks.json'), JSON.stringify({ keys }));
      await copyFile(authority.certificatePath, folder.at('clients-ca.pem'));
      const tls = {
        certPath: server.certificatePath,
        keyPath: server.keyPath,
        clientCaPath: 'clients-ca.pem',
      };
      await writeFile(
        folder.at('registry-token.yaml'),
        stringify({
          server: { listen: `127.0.0.1:${port}`, workers, tls },
          authority: { issuer: ISSUER, jwksPath: 'jwks.json', audiences: [AUDIENCE], clockSkew: 0 },
          signing: { issuer: 'registry-token.example.com', keyPath: 'signing.pem' },
          registry: { realm: `https://127.0.0.1:${port}/token`, allowedServices: [SERVICE] },
          plans: { community: { repositories: [{ pattern: 'public/*' }] } },
          defaultPlan: 'community',
          logging: { format: 'json' },
        }),
      );
      const words = [...serviceCommand, 'serve', '--config', folder.at('registry-token.yaml')];
      child = start(words, { env: clock.environment });
      await child.waitForLine(/"message":"ready"/);
    });

    afterAll(async () => {
      await child?.stop();
      await folder?.[Symbol.asyncDispose]();
      await clock?.[Symbol.asyncDispose]();
    });

    function ask(client: TlsClient, now = wallClock()): Promise<HttpAnswer> {
      const members = opTokMembers(authorityKey, authorityKey, now);
      const opTok = signWith(members, authorityKey, { claims: { cnf: { 'x5t#S256': alice.thumbprint } } });
      client.write(getRequest(`/token?service=${SERVICE}`, `Authorization: Bearer ${opTok}`));
      return client.answer();
    }

    function connectMany(): Promise<TlsClient[]> {
      return Promise.all(Array.from({ length: CONNECTIONS }, () => connectTls(port, alice)));
    }

    async function expectAll(clients: readonly TlsClient[], status: number, now?: number): Promise<void> {
      const answers = await Promise.all(clients.map((client) => ask(client, now)));
      expect(answers.map((answer) => answer.status)).toEqual(clients.map(() => status));
    }

    function replaceAuthorities({ certificatePath }: CertificateAuthority): Promise<unknown> {
      const reloads = () => child.stderr().split('"message":"reloaded"').length;
      const before = reloads();
      return copyFile(certificatePath, folder.at('clients-ca.pem')).then(async () => {
        child.signal('SIGHUP');
        for (let tries = 0; reloads() === before && tries < 400; tries += 1) await Bun.sleep(50);
        expect(reloads()).toBeGreaterThan(before);
      });
    }

    test('get no token once "reloaded" is logged and their authority is not in force, and are closed', async () => {
      const clients = await connectMany();
      await expectAll(clients, 200);
      await replaceAuthorities(other);
      await expectAll(clients, 401);
      await Promise.all(clients.map(({ closed }) => closed));
      expect(await settled(child.stderr)).toContain('"reason":"certificate-untrusted"');
      await replaceAuthorities(authority);
      const again = await connectMany();
      await expectAll(again, 200);
      for (const client of again) client.socket.destroy();
    });

    test('get no token from the end of their certificate on, and are closed', async () => {
      const clients = await connectMany();
      await expectAll(clients, 200);
      clock.move(DAY + 60);
      await expectAll(clients, 401, wallClock() + DAY + 60);
      await Promise.all(clients.map(({ closed }) => closed));
      using later = await connectTls(port, alice);
      expect((await ask(later, wallClock() + DAY + 60)).status).toBe(401);
      clock.move(0);
    });
  });
});
