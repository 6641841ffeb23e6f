/** The words of the POSTs that stock clients make, and the answers by which they go on or give up. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { type CurlAnswer, curl } from '../support/curl.ts';
import { describeWith } from '../support/debian-parts.ts';
import { type Front, fronts } from '../support/mtls-fronts.ts';
import { createMtlsParties, type MtlsParties, obtainBoundOpTok } from '../support/mtls-parties.ts';
import { REGISTRY_SERVICE } from '../support/running-service.ts';
import type { TlsIdentity } from '../support/tls-identities.ts';
import { decodePart } from '../support/tokens.ts';

setDefaultTimeout(60_000);

const SCOPES = ['repository:team-a/app:pull,push', 'repository:team-b/app:pull'];

/** The fields of each, in its own order; Go sorts them by name. */
const forms: Readonly<Record<string, (secret: string) => [string, string][]>> = {
  'containerd with a password': (secret) => [
    ['client_id', 'containerd-client'],
    ['grant_type', 'password'],
    ['password', secret],
    ['scope', SCOPES.join(' ')],
    ['service', REGISTRY_SERVICE],
    ['username', 'any'],
  ],
  'containerd with an identity token': (secret) => [
    ['client_id', 'containerd-client'],
    ['grant_type', 'refresh_token'],
    ['refresh_token', secret],
    ['scope', SCOPES.join(' ')],
    ['service', REGISTRY_SERVICE],
  ],
  'BuildKit with a password': (secret) => [
    ['access_type', 'offline'],
    ['client_id', 'buildkit-client'],
    ['grant_type', 'password'],
    ['password', secret],
    ['scope', SCOPES.join(' ')],
    ['service', REGISTRY_SERVICE],
    ['username', 'any'],
  ],
  'docker with an identity token': (secret) => [
    ['client_id', 'docker'],
    ['grant_type', 'refresh_token'],
    ['refresh_token', secret],
    ['scope', SCOPES.join(' ')],
    ['service', REGISTRY_SERVICE],
  ],
  'podman with an identity token': (secret) => [
    ['service', REGISTRY_SERVICE],
    ...SCOPES.map((scope): [string, string] => ['scope', scope]),
    ['client_id', 'containers/image'],
    ['grant_type', 'refresh_token'],
    ['refresh_token', secret],
  ],
};

for (const [name, startFront] of Object.entries(fronts))
  describeWith(['curl', 'docker-registry', 'nginx', 'openssl'], `a form behind ${name}`, () => {
    let parties: MtlsParties;
    let front: Front;
    let alice: TlsIdentity;
    let bob: TlsIdentity;
    let opTok: string;

    beforeAll(async () => {
      parties = await createMtlsParties();
      front = await startFront(parties);
      ({ alice, bob } = parties);
      opTok = await obtainBoundOpTok(parties, alice);
    });

    afterAll(async () => {
      await front?.[Symbol.asyncDispose]();
      await parties?.[Symbol.asyncDispose]();
    });

    const side = (identity: TlsIdentity | null) => ({
      caPath: parties.certificateAuthority.certificatePath,
      identity,
    });

    const post = (identity: TlsIdentity | null, fields: [string, string][]) =>
      curl(
        side(identity),
        ...['-H', 'Content-Type: application/x-www-form-urlencoded; charset=utf-8'],
        ...['--data-raw', String(new URLSearchParams(fields)), front.realm],
      );

    const get = (identity: TlsIdentity | null, credentials: string) => {
      const query = new URLSearchParams([
        ['service', REGISTRY_SERVICE],
        ...SCOPES.map((scope) => ['scope', scope] as [string, string]),
      ]);
      return curl(side(identity), '-u', credentials, `${front.realm}?${query}`);
    };

    /** A 401, not a 400, with `Basic` among the challenges and the text that docker shows. */
    function expectUnauthorized({ status, head, body }: CurlAnswer): void {
      expect({ status, body }).toMatchObject({
        status: 401,
        body: { error: 'invalid_token', errors: [{ message: expect.stringContaining('access token') }] },
      });
      expect(head).toMatch(/^www-authenticate: .*\bBasic realm="/im);
      expect(head).toMatch(/^www-authenticate: .*\bBearer realm="[^"]*", error="invalid_token"/im);
    }

    for (const [form, fields] of Object.entries(forms)) {
      test(`of ${form} gets a token for every scope, and no refresh token`, async () => {
        const { status, head, body } = await post(alice, fields(opTok));
        expect({ status, body }).toMatchObject({ status: 200 });
        expect(head).toMatch(/^cache-control: no-store/im);
        const { access_token: accessToken, token, expires_in, issued_at, scope, ...others } = body;
        expect(token).toBe(accessToken);
        expect(expires_in).toBeInteger();
        expect(Date.parse(String(issued_at))).toBeWithin(Date.now() - 60_000, Date.now() + 1000);
        expect(scope).toBe(SCOPES.join(' '));
        expect(others).toEqual({});
        expect(decodePart(String(accessToken), 1)).toMatchObject({
          sub: 'alice',
          aud: REGISTRY_SERVICE,
          access: [
            { type: 'repository', name: 'team-a/app', actions: ['pull', 'push'] },
            { type: 'repository', name: 'team-b/app', actions: ['pull'] },
          ],
        });
      });

      test(`of ${form} is refused with a stolen, a wrong and an empty OpTok`, async () => {
        for (const identity of [bob, null]) expectUnauthorized(await post(identity, fields(opTok)));
        for (const wrong of ['hunter2', `${opTok.slice(0, -4)}AAAA`, ''])
          expectUnauthorized(await post(alice, fields(wrong)));
      });
    }

    test('of a client that falls back to GET is refused there too, and answered with the right OpTok', async () => {
      expectRefusedOnGet(await get(bob, `any:${opTok}`));
      expectRefusedOnGet(await get(alice, 'any:hunter2'));
      expectRefusedOnGet(await get(alice, 'any:'));
      expect((await get(alice, `any:${opTok}`)).status).toBe(200);
    });

    function expectRefusedOnGet({ status, head }: CurlAnswer): void {
      expect(status).toBe(401);
      expect(head).toMatch(/^www-authenticate: .*\bBasic realm="[^"]*", error="invalid_token"/im);
    }

    test('without credentials is 401 and told every challenge, none with an error', async () => {
      const { status, head, body } = await post(alice, [['service', REGISTRY_SERVICE]]);
      expect({ status, error: body.error }).toEqual({ status: 401, error: undefined });
      for (const scheme of ['DPoP', 'Bearer', 'Basic'])
        expect(head).toMatch(new RegExp(`^www-authenticate: .*\\b${scheme} `, 'im'));
      expect(head).not.toContain('error=');
    });
  });
