/** The whole service behind its own TLS listener, with curl as the client: OpToks that are bound to certificates. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { copyFile, writeFile } from 'node:fs/promises';
import { stringify } from 'yaml';
import { describeWith } from '../support/debian-parts.ts';
import { createKey, type TestKey } from '../support/keys.ts';
import {
  type Child,
  createTemporaryFolder,
  findFreePort,
  runOrFail,
  settled,
  start,
  type TemporaryFolder,
  wallClock,
} from '../support/processes.ts';
import { BINARY, nextSecond } from '../support/running-service.ts';
import { connectTls } from '../support/tls-client.ts';
import {
  type CertificateAuthority,
  createCertificateAuthority,
  createSelfSigned,
  type TlsIdentity,
} from '../support/tls-identities.ts';
import {
  AUDIENCE,
  decodePart,
  ISSUER,
  opTokMembers,
  proofMembers,
  SERVICE,
  signWith,
} from '../support/tokens.ts';

setDefaultTimeout(60_000);

/** With CI=true the executable, which `bun run test` has built just before; else the sources as they are now. */
const words =
  process.env.CI === 'true'
    ? [BINARY]
    : [process.execPath, 'run', new URL('../../src/main.ts', import.meta.url).pathname];

describeWith(['openssl', 'curl'], 'the service behind its own TLS listener', () => {
  let folder: TemporaryFolder;
  let authority: CertificateAuthority;
  let server: TlsIdentity;
  let alice: TlsIdentity;
  let bob: TlsIdentity;
  let authorityKey: TestKey;
  let clientKey: TestKey;
  let port: number;
  let realm: string;
  let child: Child;

  beforeAll(async () => {
    folder = await createTemporaryFolder();
    authority = await createCertificateAuthority(folder, 'authority');
    server = await authority.issue('server');
    alice = await authority.issue('alice');
    bob = await authority.issue('bob');
    authorityKey = await createKey('ES256');
    clientKey = await createKey('ES256');
    port = await findFreePort();
    realm = `https://127.0.0.1:${port}/token`;
    const { privateKey } = await createKey('ES256');
    await writeFile(folder.at('signing.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const jwks = { keys: [{ ...authorityKey.publicJwk, kid: authorityKey.thumbprint }] };
    await writeFile(folder.at('jwks.json'), JSON.stringify(jwks));
    await copyFile(server.certificatePath, folder.at('tls.crt'));
    await copyFile(server.keyPath, folder.at('tls.pem'));
    await writeFile(folder.at('registry-token.yaml'), stringify(configuration()));
    child = start([...words, 'serve', '--config', folder.at('registry-token.yaml')]);
    await child.waitForLine(/"message":"ready"/);
    await nextSecond();
  });

  afterAll(async () => {
    await child?.stop();
    await folder?.[Symbol.asyncDispose]();
  });

  function configuration() {
    const tls = { certPath: 'tls.crt', keyPath: 'tls.pem', clientCaPath: 'authority.crt' };
    return {
      server: { listen: `127.0.0.1:${port}`, tls, shutdownGrace: '2s' },
      authority: { issuer: ISSUER, jwksPath: 'jwks.json', audiences: [AUDIENCE], clockSkew: 0 },
      signing: { issuer: 'registry-token.example.com', keyPath: 'signing.pem' },
      registry: { realm, allowedServices: [SERVICE] },
      plans: { community: { repositories: [{ pattern: 'public/*' }] } },
      defaultPlan: 'community',
      logging: { format: 'json' },
    };
  }

  /** An OpTok bound to a client's certificate. */
  function opTokOf({ thumbprint }: TlsIdentity): string {
    const members = opTokMembers(authorityKey, clientKey, wallClock());
    return signWith(members, authorityKey, { claims: { cnf: { 'x5t#S256': thumbprint } } });
  }

  interface Answer {
    readonly status: number;
    readonly body: Readonly<Record<string, unknown>>;
  }

  async function curl(identity: TlsIdentity | null, ...more: readonly string[]): Promise<Answer> {
    const own = identity === null ? [] : ['--cert', identity.certificatePath, '--key', identity.keyPath];
    const usual = ['curl', '-sS', '--cacert', authority.certificatePath, '-w', '\n%{http_code}'];
    const output = await runOrFail([...usual, ...own, ...more]);
    const end = output.lastIndexOf('\n');
    return { status: Number(output.slice(end + 1)), body: JSON.parse(output.slice(0, end)) };
  }

  const query = () => `${realm}?service=${SERVICE}&scope=repository:public/app:pull`;

  /** The ways in which an OpTok comes that a client with a certificate has. */
  const ways: Readonly<Record<string, (opTok: string) => string[]>> = {
    'Basic password on GET': (opTok) => ['-u', `anyone:${opTok}`, query()],
    'Bearer on GET': (opTok) => ['-H', `Authorization: Bearer ${opTok}`, query()],
    'form password on POST': (opTok) => form('grant_type=password', 'username=anyone', `password=${opTok}`),
    'form refresh_token on POST': (opTok) => form('grant_type=refresh_token', `refresh_token=${opTok}`),
  };

  function form(...fields: readonly string[]): string[] {
    const all = [`service=${SERVICE}`, 'scope=repository:public/app:pull', ...fields];
    return [...all.flatMap((field) => ['--data-urlencode', field]), realm];
  }

  test('says in its log that it listens at an https URL', () => {
    expect(child.stderr()).toContain(`"url":"https://127.0.0.1:${port}"`);
  });

  for (const [way, words] of Object.entries(ways)) {
    test(`issues for an OpTok as ${way} that is bound to the client's certificate`, async () => {
      const { status, body } = await curl(alice, ...words(opTokOf(alice)));
      expect({ status, body }).toMatchObject({ status: 200 });
      expect(decodePart(String(body.token), 1)).toMatchObject({
        sub: 'alice',
        access: [{ type: 'repository', name: 'public/app', actions: ['pull'] }],
      });
    });

    test(`refuses an OpTok as ${way} without its certificate, or with another`, async () => {
      for (const identity of [null, bob])
        expect(await curl(identity, ...words(opTokOf(alice)))).toMatchObject({
          status: 401,
          body: { error: 'invalid_token' },
        });
    });
  }

  test('refuses an OpTok that is bound to a certificate outside clientCaPath', async () => {
    const stranger = await createSelfSigned(folder, 'stranger');
    expect((await curl(stranger, '-u', `anyone:${opTokOf(stranger)}`, query())).status).toBe(401);
    expect(await settled(child.stderr)).toContain('"reason":"certificate-untrusted"');
  });

  test('takes DPoP proofs over TLS, from clients with and without a certificate', async () => {
    for (const identity of [null, alice]) {
      const opTok = signWith(opTokMembers(authorityKey, clientKey, wallClock()), authorityKey, {});
      const proof = signWith(proofMembers(clientKey, opTok, wallClock()), clientKey, {
        claims: { htu: realm },
      });
      const headers = ['-H', `Authorization: DPoP ${opTok}`, '-H', `DPoP: ${proof}`];
      expect((await curl(identity, ...headers, query())).status).toBe(200);
      expect(await curl(identity, ...headers, query())).toMatchObject({
        body: { error: 'invalid_dpop_proof' },
      });
    }
  });

  test('answers many clients at once, each by its own certificate', async () => {
    const [ours, theirs] = [opTokOf(alice), opTokOf(bob)];
    const asked = Array.from({ length: 60 }, async (_, index) => {
      const identity = index % 2 === 0 ? alice : bob;
      const opTok = index % 3 === 0 ? ours : theirs;
      using client = await connectTls(port, identity);
      client.write(
        `GET /token?service=${SERVICE} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${opTok}\r\n\r\n`,
      );
      const expected = (identity === alice) === (opTok === ours) ? 200 : 401;
      return (await client.answer()).status === expected;
    });
    expect(await Promise.all(asked)).not.toContain(false);
  });

  test('answers a body that is too large with its own document', async () => {
    await writeFile(folder.at('large'), 'x'.repeat(70_000));
    const { status, body } = await curl(
      alice,
      '-H',
      'Expect:',
      '--data-binary',
      `@${folder.at('large')}`,
      realm,
    );
    expect({ status, error: body.error }).toEqual({ status: 413, error: 'invalid_request' });
  });

  test('shows its new certificate after SIGHUP, keeps its connections, and keeps it where the next is bad', async () => {
    using kept = await connectTls(port);
    await kept.get('/healthz');
    const next = await authority.issue('next-server');
    await copyFile(next.certificatePath, folder.at('tls.crt'));
    await copyFile(next.keyPath, folder.at('tls.pem'));
    child.signal('SIGHUP');
    await child.waitForLine(/"message":"reloaded"/);
    expect((await kept.get('/healthz')).status).toBe(200);
    expect(await nameOfServer()).toBe('next-server');
    await copyFile(bob.keyPath, folder.at('tls.pem'));
    child.signal('SIGHUP');
    await child.waitForLine(/server\.tls\.keyPath: is not the key/);
    expect(await nameOfServer()).toBe('next-server');
  });

  async function nameOfServer(): Promise<string> {
    using client = await connectTls(port);
    return client.serverName;
  }

  test('ends with 78 where the certificate cannot be used, and with 1 where the port is taken', async () => {
    const broken = { ...configuration(), server: { tls: { certPath: 'tls.crt', keyPath: 'alice.pem' } } };
    await writeFile(folder.at('broken.yaml'), stringify(broken));
    await using misconfigured = start([...words, 'serve', '--config', folder.at('broken.yaml')]);
    expect(await misconfigured.exited).toBe(78);
    expect(misconfigured.stderr()).toMatch(/broken\.yaml:\d+:\d+: server\.tls\.keyPath: is not the key/);
    const good = { ...configuration(), server: { ...configuration().server } };
    good.server.tls = { certPath: 'alice.crt', keyPath: 'alice.pem', clientCaPath: 'authority.crt' };
    await writeFile(folder.at('second.yaml'), stringify(good));
    await using second = start([...words, 'serve', '--config', folder.at('second.yaml')]);
    expect(await second.exited).toBe(1);
    expect(second.stderr()).toContain(
      `cannot listen on 127.0.0.1:${port}: another process uses that address`,
    );
  });

  test('ends with 0 at SIGTERM, at once where nothing runs', async () => {
    using idle = await connectTls(port, alice);
    await idle.get('/healthz');
    const began = performance.now();
    child.signal('SIGTERM');
    expect(await child.exited).toBe(0);
    expect(performance.now() - began).toBeLessThan(1500);
  });
});
