/** The sample configuration of nginx, run as it is: what a client cannot make the service believe through it. */
import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from 'bun:test';
import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { type CurlAnswer, curl } from '../support/curl.ts';
import { describeWith } from '../support/debian-parts.ts';
import { type Front, fronts } from '../support/mtls-fronts.ts';
import { createMtlsParties, type MtlsParties, obtainBoundOpTok } from '../support/mtls-parties.ts';
import { REGISTRY_SERVICE } from '../support/running-service.ts';
import { connectTls, getRequest } from '../support/tls-client.ts';
import type { TlsIdentity } from '../support/tls-identities.ts';
import { decodePart } from '../support/tokens.ts';

setDefaultTimeout(60_000);

describeWith(['nginx', 'docker-registry', 'openssl', 'curl'], 'nginx with the sample of etc/nginx', () => {
  let parties: MtlsParties;
  let front: Front;
  let alice: TlsIdentity;
  let bob: TlsIdentity;
  let aliceOpTok: string;
  let bobOpTok: string;
  let query: string;
  let direct: string;
  let logged: number;

  beforeAll(async () => {
    parties = await createMtlsParties();
    front = await fronts.nginx(parties);
    ({ alice, bob } = parties);
    aliceOpTok = await obtainBoundOpTok(parties, alice);
    bobOpTok = await obtainBoundOpTok(parties, bob);
    query = `?service=${REGISTRY_SERVICE}`;
    direct = `http://127.0.0.1:${front.servicePort}/token${query}`;
  });

  afterAll(async () => {
    await front?.[Symbol.asyncDispose]();
    await parties?.[Symbol.asyncDispose]();
  });

  beforeEach(async () => {
    logged = (await front.serviceLog()).length;
  });

  /** The decision on the last request. */
  const decision = async () => {
    const lines = (await front.serviceLog()).slice(logged).trim().split('\n');
    return JSON.parse(lines.findLast((line) => line.includes('"durationMs"')) ?? '{}');
  };

  const asks = (identity: TlsIdentity | null, opTok: string, ...words: readonly string[]) =>
    curl(side(identity), '-H', `Authorization: Bearer ${opTok}`, ...words, `${front.realm}${query}`);

  const side = (identity: TlsIdentity | null) => ({
    caPath: parties.certificateAuthority.certificatePath,
    identity,
  });

  function expectTokenOf(subject: string, { status, body }: CurlAnswer): void {
    expect({ status, body }).toMatchObject({ status: 200 });
    expect(decodePart(String(body.token), 1).sub).toBe(subject);
  }

  async function expectRefused(reason: string, { status, body }: CurlAnswer): Promise<void> {
    expect({ status, error: body.error }).toEqual({ status: 401, error: 'invalid_token' });
    expect((await decision()).reason).toBe(reason);
  }

  /** What nginx writes for this certificate, and what RFC 9440 has for it. */
  const headersOf = ({ certificate }: TlsIdentity) => {
    const base64 = certificate.replace(/-----[^-]+-----|\n/g, '');
    return {
      'X-SSL-Client-Cert': encodeURIComponent(certificate),
      'Client-Cert': `:${base64}:`,
      'Client-Cert-Chain': `:${base64}:`,
    };
  };

  test('passes on the certificate that the client showed', async () => {
    expectTokenOf('alice', await asks(alice, aliceOpTok));
    expectTokenOf('bob', await asks(bob, bobOpTok));
    await expectRefused('certificate-binding', await asks(bob, aliceOpTok));
    await expectRefused('certificate-missing', await asks(null, aliceOpTok));
  });

  test('gives the request a name of its own, whatever the client calls it', async () => {
    expectTokenOf('alice', await asks(alice, aliceOpTok, '-H', 'X-Request-ID: client'));
    expect((await decision()).requestId).toMatch(/^[0-9a-f]{32}$/);
  });

  test('answers at /auth/token as it does at /token', async () => {
    const url = `${front.realm.replace('/token', '/auth/token')}${query}`;
    expectTokenOf('alice', await curl(side(alice), '-u', `any:${aliceOpTok}`, url));
    const refused = await curl(side(bob), '-u', `any:${aliceOpTok}`, url);
    await expectRefused('certificate-binding', refused);
    expect(refused.head).toMatch(/^www-authenticate: .*Basic realm=/im);
  });

  test('certificate rule 4: overwrites an X-SSL-Client-Cert of the client, however it is written', async () => {
    const forged = headersOf(alice)['X-SSL-Client-Cert'];
    const spellings = [
      [`X-SSL-Client-Cert: ${forged}`],
      [`x-ssl-client-cert: ${forged}`],
      [`X_SSL_Client_Cert: ${forged}`],
      [`X-SSL-Client-Cert: ${forged}`, `X-SSL-Client-Cert: ${forged}`],
      [`X-SSL-Client-Cert: ${forged}`, 'Connection: close, X-SSL-Client-Cert'],
    ];
    for (const spelling of spellings) {
      const words = spelling.flatMap((header) => ['-H', header]);
      await expectRefused('certificate-missing', await asks(null, aliceOpTok, ...words));
      await expectRefused('certificate-binding', await asks(bob, aliceOpTok, ...words));
      expectTokenOf('bob', await asks(bob, bobOpTok, ...words));
    }
  });

  test('certificate rule 4: lets no Client-Cert and no Client-Cert-Chain of the client through', async () => {
    const { 'Client-Cert': value, 'Client-Cert-Chain': chain } = headersOf(alice);
    // The service refuses either as certificate-untrusted: that it does not, shows that neither has come.
    for (const words of [
      ['-H', `Client-Cert: ${value}`],
      ['-H', `client-cert: ${value}`, '-H', `CLIENT-CERT-CHAIN: ${chain}`],
      ['-H', `Client-Cert-Chain: ${chain}`],
    ]) {
      expectTokenOf('alice', await asks(alice, aliceOpTok, ...words));
      await expectRefused('certificate-missing', await asks(null, aliceOpTok, ...words));
      await expectRefused('certificate-binding', await asks(bob, aliceOpTok, ...words));
    }
  });

  test("logs the client's address, whatever the client says of it", async () => {
    expectTokenOf('alice', await asks(alice, aliceOpTok, '--interface', '127.0.0.3'));
    expect((await decision()).address).toBe('127.0.0.3');
    for (const forged of ['203.0.113.9', '203.0.113.9, 127.0.0.1', '127.0.0.1, 127.0.0.1']) {
      const words = ['--interface', '127.0.0.3', '-H', `X-Forwarded-For: ${forged}`];
      expectTokenOf('alice', await asks(alice, aliceOpTok, ...words));
      expect((await decision()).address).toBe('127.0.0.3');
    }
    await asks(alice, aliceOpTok, '-H', 'X-Forwarded-For: 203.0.113.9');
    expect((await decision()).address).toBe('127.0.0.1');
  });

  test('the service refuses each certificate header from an address that is not of a trusted proxy', async () => {
    const from = ['--interface', '127.0.0.2', '-H', `Authorization: Bearer ${aliceOpTok}`];
    for (const [name, value] of Object.entries(headersOf(alice)))
      for (const more of [[], ['-H', 'X-Forwarded-For: 127.0.0.1'], ['-H', 'Forwarded: for=127.0.0.1']]) {
        const answer = await curl(side(null), ...from, '-H', `${name}: ${value}`, ...more, direct);
        await expectRefused('certificate-untrusted', answer);
        expect((await decision()).address).toBe('127.0.0.2');
      }
    await expectRefused('certificate-missing', await curl(side(null), ...from, direct));
  });

  test('a client certificate is each connection’s own, while nginx shares its connections to the service', async () => {
    const clients = [
      { identity: alice, subject: 'alice' },
      { identity: bob, subject: 'bob' },
      { identity: null, subject: null },
    ];
    const port = Number(new URL(front.realm).port);
    const asked = Array.from({ length: 12 }, async (_, index) => {
      const { identity, subject } = clients[index % clients.length] ?? { identity: null, subject: null };
      using client = await connectTls(port, identity);
      for (let turn = 0; turn < 10; turn += 1) {
        const [opTok, owner] = turn % 2 === 0 ? [aliceOpTok, 'alice'] : [bobOpTok, 'bob'];
        client.write(getRequest(`/token${query}`, `Authorization: Bearer ${opTok}`));
        const { status } = await client.answer();
        if (status !== (owner === subject ? 200 : 401)) return `${subject} with ${owner}'s OpTok: ${status}`;
      }
      return null;
    });
    expect(new Set(await Promise.all(asked))).toEqual(new Set([null]));
  });

  test('takes the largest form that the service reads without writing it to a file', async () => {
    const padding = 'x'.repeat(60_000);
    const form = ['grant_type=password', 'username=any', `password=${aliceOpTok}`, `unknown=${padding}`];
    const fields = [...form, `service=${REGISTRY_SERVICE}`].flatMap((field) => ['--data-urlencode', field]);
    expectTokenOf('alice', await curl(side(alice), ...fields, front.realm));
    expect(front.logs()).not.toContain('buffered to a temporary file');
  });

  test('passes on a header of 12 KiB, as OpToks with many claims make it', async () => {
    const answer = await asks(alice, `${aliceOpTok.split('.', 1)}.${'A'.repeat(12_000)}.AAAA`);
    expect({ status: answer.status, error: answer.body.error }).toEqual({
      status: 401,
      error: 'invalid_token',
    });
  });

  test('passes on a layer of some MiB to the registry', async () => {
    const scope = 'repository:team-a/layers:pull,push';
    const { body } = await curl(
      side(alice),
      '-u',
      `any:${aliceOpTok}`,
      `${front.realm}${query}&scope=${scope}`,
    );
    const bearer = ['-H', `Authorization: Bearer ${body.token}`];
    const started = await curl(side(null), ...bearer, '-X', 'POST', uploadsOf('team-a/layers'));
    const location = /^location: (\S+)/im.exec(started.head)?.[1] ?? '';
    const layer = randomBytes(3 * 1024 * 1024);
    await writeFile(parties.folder.at('layer'), layer);
    const digest = `sha256:${createHash('sha256').update(layer).digest('hex')}`;
    const content = ['-X', 'PUT', '-H', 'Content-Type: application/octet-stream'];
    const file = ['--data-binary', `@${parties.folder.at('layer')}`, `${location}&digest=${digest}`];
    expect((await curl(side(null), ...bearer, ...content, ...file)).status).toBe(201);
  });

  const uploadsOf = (repository: string) => `https://${front.registryHost}/v2/${repository}/blobs/uploads/`;

  test("passes on the service's own refusal of a body that is too large", async () => {
    const { status, body } = await curl(side(alice), '--data', `a=${'x'.repeat(70_000)}`, front.realm);
    expect({ status, error: body.error }).toEqual({ status: 413, error: 'invalid_request' });
  });

  test('shows clients the registry and the realm, and nothing else of the service', async () => {
    const origin = new URL(front.realm).origin;
    const registry = await curl(side(null), `${origin}/v2/`);
    expect(registry.status).toBe(401);
    expect(registry.head).toContain(`realm="${front.realm}"`);
    for (const path of ['/', '/metrics', '/healthz', '/readyz', '/token/', '/tokens', '/v2', '/x/token'])
      expect((await curl(side(alice), `${origin}${path}`)).status).not.toBe(200);
    expect((await curl(side(alice), '--path-as-is', `${origin}/v2/../metrics`)).status).toBe(404);
  });

  test('answers no token request in the clear', async () => {
    const port = Number(new URL(front.realm).port);
    expect(await answerInTheClear(port, aliceOpTok)).toStartWith('HTTP/1.1 400 ');
  });

  test('no log has an OpTok in it', () => {
    const logs = front.logs();
    expect(logs).toContain(`GET /token${query}`);
    for (const opTok of [aliceOpTok, bobOpTok])
      for (const secret of [opTok, opTok.split('.')[2] ?? opTok]) expect(logs.includes(secret)).toBe(false);
  });
});

function answerInTheClear(port: number, opTok: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(port, '127.0.0.1', () =>
      socket.write(getRequest('/token', `Authorization: Bearer ${opTok}`)),
    );
    socket.on('data', (bytes) => {
      answer += bytes.toString('latin1');
    });
    socket.once('error', reject);
    socket.once('close', () => resolve(answer));
  });
}
