/**
 * The samples of etc/ for proxies, run as they are: what the service believes of a client is what the proxy saw of it.
 * What is particular to nginx is in nginx.test.ts.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { parseAllDocuments } from 'yaml';
import type { DpopClient } from '../support/authority-client.ts';
import { type CurlAnswer, curl } from '../support/curl.ts';
import { describeWith } from '../support/debian-parts.ts';
import { createImageClient, imageId } from '../support/image-clients.ts';
import { type Front, startBehindProxy } from '../support/mtls-fronts.ts';
import {
  createBuilder,
  createMtlsParties,
  type MtlsParties,
  obtainBoundOpTok,
} from '../support/mtls-parties.ts';
import { certificateHeaders, proxyNames } from '../support/proxies.ts';
import { REGISTRY_SERVICE } from '../support/running-service.ts';
import { createSelfSigned, type TlsIdentity } from '../support/tls-identities.ts';
import { decodePart } from '../support/tokens.ts';

setDefaultTimeout(60_000);

for (const name of proxyNames)
  describeWith([name, 'docker-registry', 'openssl', 'curl'], `${name} with its sample`, () => {
    let parties: MtlsParties;
    let front: Front;
    let builder: DpopClient;
    let opTok: string;
    let logged: number;

    beforeAll(async () => {
      parties = await createMtlsParties();
      front = await startBehindProxy(parties, name);
      builder = await createBuilder(parties);
      opTok = await obtainBoundOpTok(parties, parties.alice);
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

    const ask = (identity: TlsIdentity | null, ...words: readonly string[]) =>
      curl(
        { caPath: parties.certificateAuthority.certificatePath, identity },
        ...words,
        `${front.realm}?service=${REGISTRY_SERVICE}`,
      );

    const askAsAlice = (identity: TlsIdentity | null, ...words: readonly string[]) =>
      ask(identity, '-H', `Authorization: Bearer ${opTok}`, ...words);

    const askAsBuilder = async (...words: readonly string[]) => {
      const proof = ['-H', `DPoP: ${await builder.proof(front.realm)}`];
      return ask(null, '-H', `Authorization: DPoP ${builder.opTok}`, ...proof, ...words);
    };

    function expectTokenOf(subject: string, { status, body }: CurlAnswer): void {
      expect({ status, body }).toMatchObject({ status: 200 });
      expect(decodePart(String(body.token), 1).sub).toBe(subject);
    }

    async function expectRefused(reason: string, { status, body }: CurlAnswer): Promise<void> {
      expect({ status, body }).toMatchObject({ status: 401, body: { error: 'invalid_token' } });
      expect((await decision()).reason).toBe(reason);
    }

    /** The certificate in every form that a proxy writes. */
    const forged = ({ certificate }: TlsIdentity): string[] => {
      const base64 = certificate.replace(/-----[^-]+-----|\n/g, '');
      const hash = createHash('sha256').update(Buffer.from(base64, 'base64')).digest('hex');
      return [
        `X-Forwarded-Client-Cert: Hash=${hash};Cert="${encodeURIComponent(certificate)}"`,
        `X-Forwarded-Tls-Client-Cert: ${encodeURIComponent(base64)}`,
        `Client-Cert: :${base64}:`,
        `Client-Cert-Chain: :${base64}:`,
        `X-SSL-Client-Cert: ${encodeURIComponent(certificate)}`,
        `X-SSL-Client-Cert: ${certificate.trim().replaceAll('\n', ' ')}`,
      ];
    };

    test('passes on the certificate of the client that showed it, whoever issued it', async () => {
      expectTokenOf('alice', await askAsAlice(parties.alice));
      const stranger = await createSelfSigned(parties.folder, 'stranger');
      for (const identity of [parties.bob, stranger])
        await expectRefused('certificate-binding', await askAsAlice(identity));
    });

    test('passes on no certificate for a client without one, and lets DPoP clients in', async () => {
      await expectRefused('certificate-missing', await askAsAlice(null));
      expectTokenOf('builder', await askAsBuilder());
    });

    test('overwrites every certificate header of the client', async () => {
      const own = forged(parties.alice).filter((header) => isWritten(header));
      for (const header of own)
        for (const more of [[], ['-H', header], ['-H', `Connection: close, ${header.split(':', 1)}`]]) {
          const words = ['-H', header, ...more];
          await expectRefused('certificate-missing', await askAsAlice(null, ...words));
          await expectRefused('certificate-binding', await askAsAlice(parties.bob, ...words));
          expectTokenOf('builder', await askAsBuilder(...words));
        }
      // The other forms never arrive as a certificate.
      for (const header of forged(parties.alice))
        expect((await askAsAlice(null, '-H', header)).status).toBe(401);
    });

    /** The sample writes or removes this one, or the service ignores it; others are passed on and refused. */
    const isWritten = (header: string) =>
      header.startsWith('Client-Cert') ||
      header.startsWith(`${certificateHeaders[name]}:`) ||
      (name !== 'envoy' && header.startsWith('X-Forwarded-Client-Cert:'));

    test("logs the client's address, whatever the client says of it", async () => {
      const from = ['--interface', '127.0.0.3'];
      const spoofs = [
        [],
        ['-H', 'X-Forwarded-For: 203.0.113.9'],
        ['-H', 'X-Forwarded-For: 203.0.113.9, 127.0.0.1'],
        ['-H', 'X-Forwarded-For: 203.0.113.9', '-H', 'X-Forwarded-For: 127.0.0.1'],
        ['-H', 'Forwarded: for=203.0.113.9'],
        ['-H', 'Connection: close, X-Forwarded-For'],
        ['-H', 'X-Real-IP: 203.0.113.9'],
      ];
      for (const spoof of spoofs) {
        const answer = await askAsAlice(parties.alice, ...from, ...spoof);
        // Envoy refuses a Connection that names a header of its own.
        if (name === 'envoy' && answer.status === 400 && spoof.join().includes('Connection')) continue;
        expectTokenOf('alice', answer);
        expect({ spoof, address: (await decision()).address }).toEqual({ spoof, address: '127.0.0.3' });
      }
    });

    test('answers at /auth/token too, and shows nothing else of the service', async () => {
      const side = { caPath: parties.certificateAuthority.certificatePath, identity: parties.alice };
      const { origin } = new URL(front.realm);
      const credentials = ['-H', `Authorization: Bearer ${opTok}`];
      const query = `?service=${REGISTRY_SERVICE}`;
      expectTokenOf('alice', await curl(side, ...credentials, `${origin}/auth/token${query}`));
      for (const path of ['/', '/metrics', '/healthz', '/readyz', '/.well-known/jwks.json', '/tokens'])
        expect({ path, status: (await curl(side, `${origin}${path}`)).status }).toEqual({
          path,
          status: 404,
        });
      const dotted = await curl(side, '--path-as-is', `${origin}/v2/../metrics`);
      expect(dotted.text).not.toContain('registry_token_');
    });

    describeWith(['skopeo'], 'skopeo', () => {
      test('pushes and pulls through it', async () => {
        const skopeo = createImageClient('skopeo', parties.folder);
        const certificateFolder = await parties.certificateFolder(parties.alice);
        const access = { credentials: `any:${opTok}`, certificateFolder };
        const image = await parties.newImage();
        const target = `${front.registryHost}/team-a/app:1`;
        expect(await skopeo.push(image, target, access)).toMatchObject({ exitCode: 0 });
        expect(await skopeo.pull(target, access)).toMatchObject({ id: await imageId(image) });
      });
    });

    test('no log has an OpTok in it', () => {
      const logs = front.logs();
      expect(logs).toContain('"message":"issued"');
      for (const secret of [opTok, builder.opTok])
        for (const text of [secret, secret.split('.')[2] ?? secret]) expect(logs.includes(text)).toBe(false);
    });
  });

describe('the samples of proxies that are not run here', () => {
  const read = (path: string) => readFile(new URL(`../../etc/${path}`, import.meta.url), 'utf8');
  const parse = async (path: string) => {
    const documents = parseAllDocuments(await read(path));
    if (!Array.isArray(documents)) throw new Error(`${path} is empty.`);
    for (const { errors, warnings } of documents) expect([...errors, ...warnings]).toEqual([]);
    return documents.map((document) => document.toJS());
  };

  test('Traefik removes the header of the client before it writes its own', async () => {
    const [{ http }] = await parse('traefik/registry-token.yaml');
    const [first, second] = http.routers['registry-token'].middlewares;
    expect(http.middlewares[first].headers.customRequestHeaders).toHaveProperty(
      'X-Forwarded-Tls-Client-Cert',
      '',
    );
    expect(http.middlewares[second].passTLSClientCert).toEqual({ pem: true });
  });

  test('ingress-nginx passes the certificate on, and asks for one without requiring it', async () => {
    const [{ metadata }] = await parse('ingress-nginx/registry-token.yaml');
    expect(metadata.annotations).toMatchObject({
      'nginx.ingress.kubernetes.io/auth-tls-verify-client': 'optional_no_ca',
      'nginx.ingress.kubernetes.io/auth-tls-pass-certificate-to-upstream': 'true',
    });
  });
});
