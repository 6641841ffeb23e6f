/** The assembled service: what the configuration says is what the token endpoint does. */
import { afterAll, describe, expect, test } from 'bun:test';
import { Runtime } from '../../src/assemble/runtime.ts';
import { loadConfiguration } from '../../src/config/load.ts';
import { noCertificate } from '../support/service.ts';
import { decodePart, type Overrides, REALM, SERVICE } from '../support/tokens.ts';
import { createInstallation, type Sections } from './installation.ts';

const site = await createInstallation();
afterAll(() => site[Symbol.asyncDispose]());

interface Asked {
  readonly path?: string;
  readonly service?: string;
  readonly scope?: string;
  /** null for no Authorization header. */
  readonly scheme?: string | null;
  readonly opTok?: Overrides;
  readonly proof?: Overrides | null;
  readonly headers?: Readonly<Record<string, string>>;
}

async function ask(runtime: Runtime, asked: Asked = {}) {
  const parameters = new URLSearchParams({ service: asked.service ?? SERVICE });
  if (asked.scope !== undefined) parameters.set('scope', asked.scope);
  const opTok = site.opTok(asked.opTok);
  const proof = asked.proof === null ? {} : { DPoP: site.proof(opTok, asked.proof) };
  const credentials = asked.scheme === null ? {} : { Authorization: `${asked.scheme ?? 'DPoP'} ${opTok}` };
  const headers = { ...credentials, ...proof, ...asked.headers };
  const url = `http://127.0.0.1:8085${asked.path ?? '/token'}?${parameters}`;
  const response = await runtime.handle(new Request(url, { headers }), {
    ...noCertificate,
    address: '192.0.2.7',
  });
  const body = (await response.json()) as Record<string, unknown>;
  const logged = site.logLines.at(-1) ?? {};
  return { status: response.status, headers: response.headers, body, reason: logged.reason, logged };
}

async function askWith(sections: Sections, asked: Asked = {}) {
  site.configure(sections);
  return ask(await site.open(), asked);
}

describe('the times of the configuration count, just inside and just outside', () => {
  const sections = { authority: { clockSkew: '7s' }, senderConstraint: { dpop: { maxAge: '20s' } } };

  test.each<[string, number, Overrides, Overrides, string | null]>([
    ['clockSkew after exp', -6, { claims: { exp: 0 } }, {}, null],
    ['clockSkew after exp', -7, { claims: { exp: 0 } }, {}, 'token-expired'],
    ['clockSkew before nbf', 7, { claims: { nbf: 0 } }, {}, null],
    ['clockSkew before nbf', 8, { claims: { nbf: 0 } }, {}, 'token-not-yet-valid'],
    ['maxAge of a proof', -20, {}, { claims: { iat: 0 } }, null],
    ['maxAge of a proof', -21, {}, { claims: { iat: 0 } }, 'proof-time'],
    ['clockSkew before a proof', 7, {}, { claims: { iat: 0 } }, null],
    ['clockSkew before a proof', 8, {}, { claims: { iat: 0 } }, 'proof-time'],
  ])('%s: %d s', async (_, seconds, opTok, proof, reason) => {
    site.configure(sections);
    const runtime = await site.open();
    // Proofs from before the start are another matter.
    site.clock.now += 100;
    const at = ({ claims = {} }: Overrides): Overrides => ({
      claims: Object.fromEntries(Object.keys(claims).map((name) => [name, site.clock.now + seconds])),
    });
    const { status, logged } = await ask(runtime, { opTok: at(opTok), proof: at(proof) });
    expect([status, logged.reason]).toEqual([reason === null ? 200 : 401, reason]);
  });
});

describe('a token', () => {
  test('has issuer, kid and lifetime of the configuration', async () => {
    const { status, body } = await askWith({ signing: { lifetime: '7m', keyId: 'my-key', issuer: 'me' } });
    const token = String(body.token);
    expect(status).toBe(200);
    expect(body.expires_in).toBe(420);
    expect(decodePart(token, 0)).toMatchObject({ kid: 'my-key', alg: 'ES256' });
    expect(decodePart(token, 1)).toMatchObject({ iss: 'me', aud: SERVICE, exp: site.clock.now + 420 });
  });

  test('has the lifetime of its plan where the plan has one', async () => {
    const { body } = await askWith({ plans: { community: { lifetime: '1m' } } });
    expect(body.expires_in).toBe(60);
  });

  test('grants what the patterns of the plan allow', async () => {
    const plans = { community: { repositories: [{ pattern: 'a/*', actions: ['pull', 'push'] }] } };
    const { body } = await askWith({ plans }, { scope: 'repository:a/b:pull,push' });
    expect(decodePart(String(body.token), 1).access).toEqual([
      { type: 'repository', name: 'a/b', actions: ['pull', 'push'] },
    ]);
    expect(await askWith({ plans }, { scope: 'repository:b/b:pull' })).toMatchObject({
      status: 403,
      reason: 'plan-denied',
    });
  });

  test('grants a part where registry.grant is intersection', async () => {
    const scope = 'repository:public/a:pull,push';
    expect(await askWith({}, { scope })).toMatchObject({ status: 403 });
    const { status, body } = await askWith({ registry: { grant: 'intersection' } }, { scope });
    expect([status, decodePart(String(body.token), 1).access]).toEqual([
      200,
      [{ type: 'repository', name: 'public/a', actions: ['pull'] }],
    ]);
  });

  test('is by the plan and licence in the claims that authority.claims names', async () => {
    const sections = { authority: { claims: { plan: 'tier', license: 'lic' } }, revokedLicenses: ['LIC-7'] };
    expect(await askWith(sections, { opTok: { claims: { tier: 'none' } } })).toMatchObject({
      reason: 'plan-unknown',
    });
    expect(await askWith(sections, { opTok: { claims: { lic: 'LIC-7' } } })).toMatchObject({
      reason: 'license-revoked',
    });
    expect(await askWith(sections, { opTok: { claims: { 'stellaops:license': 'LIC-7' } } })).toMatchObject({
      status: 200,
    });
  });

  test('is refused to a licence in either list', async () => {
    site.write('revoked.txt', '# list\nLIC-8\n');
    const sections = { revokedLicenses: ['LIC-7'], revokedLicensesPath: 'revoked.txt' };
    for (const license of ['LIC-7', 'LIC-8'])
      expect(await askWith(sections, { opTok: { claims: { 'stellaops:license': license } } })).toMatchObject({
        status: 403,
        reason: 'license-revoked',
      });
  });

  test('is refused without a plan where there is no defaultPlan', async () => {
    expect(await askWith({ defaultPlan: undefined })).toMatchObject({ status: 403, reason: 'plan-missing' });
  });
});

describe('an OpTok', () => {
  test.each<[string, Sections, Overrides, string]>([
    ['issuer', { authority: { issuer: 'https://other.example.com' } }, {}, 'token-issuer'],
    ['audiences', { authority: { audiences: ['a', 'b'] } }, {}, 'token-audience'],
    ['requiredScopes', { authority: { requiredScopes: ['more'] } }, {}, 'token-scope'],
    ['algorithms', { authority: { algorithms: ['RS256'] } }, {}, 'token-algorithm'],
    ['tokenTypes', { authority: { tokenTypes: ['jwt'] } }, {}, 'token-type'],
    ['accept', { senderConstraint: { accept: ['mtls'] } }, {}, 'token-unbound'],
  ])('is refused by authority.%s', async (_, sections, opTok, reason) => {
    expect(await askWith(sections, { opTok })).toMatchObject({ reason });
  });

  test('is good until authority.clockSkew after its end, and that long before its beginning', async () => {
    site.configure({ authority: { clockSkew: 7 } });
    const runtime = await site.open();
    const reasonOf = async (claims: Record<string, unknown>) =>
      (await ask(runtime, { opTok: { claims } })).reason;
    // Until then, proofs need a nonce.
    site.clock.now += 7;
    const { now } = site.clock;
    for (const inside of [{ exp: now - 6 }, { nbf: now + 7 }]) expect(await reasonOf(inside)).toBeNull();
    expect(await reasonOf({ exp: now - 7 })).toBe('token-expired');
    expect(await reasonOf({ nbf: now + 8 })).toBe('token-not-yet-valid');
  });

  test('may have a type of the list in any letter case and with application/', async () => {
    const asked = { opTok: { header: { typ: 'at+jwt' } } };
    for (const type of ['AT+JWT', 'application/at+jwt', 'Application/At+Jwt'])
      expect(await askWith({ authority: { tokenTypes: ['jwt', type] } }, asked)).toMatchObject({
        status: 200,
      });
  });

  test('may be unbound only where accept holds none', async () => {
    const asked = { scheme: 'Bearer', proof: null, opTok: { claims: { cnf: undefined } } };
    expect(await askWith({}, asked)).toMatchObject({ status: 401, reason: 'token-unbound' });
    expect(await askWith({ senderConstraint: { accept: ['none'] } }, asked)).toMatchObject({ status: 200 });
  });
});

describe('a proof', () => {
  test.each<[string, Sections, Asked, string]>([
    ['algorithms', { senderConstraint: { dpop: { algorithms: ['RS256'] } } }, {}, 'proof-algorithm'],
    [
      'bearerScheme',
      { senderConstraint: { dpop: { bearerScheme: 'refuse' } } },
      { scheme: 'Bearer' },
      'proof-binding',
    ],
    ['nonce', { senderConstraint: { dpop: { nonce: 'required' } } }, {}, 'proof-nonce'],
  ])('is refused by senderConstraint.dpop.%s', async (_, sections, asked, reason) => {
    expect(await askWith(sections, asked)).toMatchObject({ reason });
  });

  test('is good until it is as old as senderConstraint.dpop.maxAge, and ahead by authority.clockSkew at most', async () => {
    const sections = { senderConstraint: { dpop: { maxAge: '20s' } }, authority: { clockSkew: 7 } };
    site.configure(sections);
    site.clock.now -= 100;
    const runtime = await site.open();
    site.clock.now += 100;
    const reasonOf = async (iat: number) => (await ask(runtime, { proof: { claims: { iat } } })).reason;
    // Until then, proofs need a nonce.
    site.clock.now += 7;
    const { now } = site.clock;
    for (const inside of [now - 20, now, now + 7]) expect(await reasonOf(inside)).toBeNull();
    for (const outside of [now - 21, now + 8]) expect(await reasonOf(outside)).toBe('proof-time');
  });

  test('with the nonce of the refusal is taken, by another node with the same secret too', async () => {
    site.write('nonce.key', new Uint8Array(32).fill(7));
    const dpop = { nonce: 'required', nonceSecretPath: 'nonce.key' };
    site.configure({ senderConstraint: { dpop } });
    const refused = await ask(await site.open());
    const nonce = refused.headers.get('dpop-nonce');
    expect(nonce).toBeString();
    expect(await ask(await site.open(), { proof: { claims: { nonce } } })).toMatchObject({ status: 200 });
    site.configure({ senderConstraint: { dpop: { nonce: 'required' } } });
    expect(await ask(await site.open(), { proof: { claims: { nonce } } })).toMatchObject({
      reason: 'proof-nonce',
    });
  });

  test('is for any of the realms, and for no other URL', async () => {
    const registry = { realm: ['https://a.example/token', 'https://b.example:443/x/../y'] };
    for (const htu of ['https://a.example/token', 'HTTPS://b.example/y', 'https://b.example:443/y?x'])
      expect(await askWith({ registry }, { proof: { claims: { htu } } })).toMatchObject({ status: 200 });
    expect(await askWith({ registry }, { proof: { claims: { htu: REALM } } })).toMatchObject({
      reason: 'proof-url',
    });
  });

  test('is remembered up to the configured capacity', async () => {
    site.configure({ senderConstraint: { replay: { capacity: 1000 } } });
    const runtime = await site.open();
    const scrape = await (await runtime.handle(new Request('http://x/metrics'), noCertificate)).text();
    expect(scrape).toMatch(/^registry_token_replay_capacity 1000$/m);
  });

  test('is offered in the challenge only where DPoP is accepted', async () => {
    const challenges = async (sections: Sections) =>
      (await askWith(sections, { scheme: 'Nothing', proof: null })).headers.get('www-authenticate');
    expect(await challenges({ senderConstraint: { dpop: { algorithms: ['ES256'] } } })).toInclude(
      'DPoP algs="ES256"',
    );
    expect(await challenges({ senderConstraint: { accept: ['mtls'] } })).not.toInclude('DPoP');
  });
});

describe('a request', () => {
  test('reaches the token endpoint under /token, /auth/token and the path of each realm', async () => {
    const registry = { realm: ['https://a.example/token', 'https://b.example/v2/auth'] };
    const asked = { proof: { claims: { htu: 'https://a.example/token' } } };
    for (const path of ['/token', '/auth/token', '/v2/auth'])
      expect(await askWith({ registry }, { ...asked, path })).toMatchObject({ status: 200 });
    expect(await askWith({ registry }, { ...asked, path: '/v2' })).toMatchObject({ status: 404 });
  });

  test('is for one of the allowed services, or for any where there is no such list', async () => {
    expect(await askWith({}, { service: 'other' })).toMatchObject({
      status: 400,
      reason: 'service-not-allowed',
    });
    expect(await askWith({ registry: { allowedServices: undefined } }, { service: 'other' })).toMatchObject({
      status: 200,
    });
  });

  test('is that of the header that server.forwardedHeader names', async () => {
    const headers = { 'X-Forwarded-For': '198.51.100.9', Forwarded: 'for="[2001:db8::7]:443"' };
    const server = { trustedProxies: ['192.0.2.7'] };
    expect((await askWith({ server }, { headers })).logged.address).toBe('198.51.100.9');
    const rfc7239 = { ...server, forwardedHeader: 'Forwarded' };
    expect((await askWith({ server: rfc7239 }, { headers })).logged.address).toBe('2001:db8::7');
  });

  test('that a trusted proxy does not tell is warned of, once a minute', async () => {
    site.configure({ server: { trustedProxies: ['192.0.2.7'], forwardedHeader: 'Forwarded' } });
    const runtime = await site.open();
    const warnings = () => site.logLines.filter(({ level }) => level === 'warn');
    const before = warnings().length;
    for (const [seconds, expected] of [
      [0, 1],
      [59, 1],
      [61, 2],
      [61, 2],
    ] as const) {
      const start = site.clock.now;
      site.clock.now = start + seconds;
      await ask(runtime, { headers: { Forwarded: 'for=_hidden' } });
      expect(warnings().length - before).toBe(expected);
      site.clock.now = start;
    }
    expect(warnings().at(-1)).toMatchObject({
      message: "a trusted proxy's header does not hold the client's address",
      header: 'Forwarded',
      value: 'for=_hidden',
      proxy: '192.0.2.7',
    });
    await ask(runtime, { headers: { 'X-Forwarded-For': 'unknown' } });
    expect(warnings().length - before).toBe(2);
  });

  test('has the address that a trusted proxy tells', async () => {
    const headers = { 'X-Forwarded-For': '198.51.100.9' };
    expect((await askWith({}, { headers })).logged.address).toBe('192.0.2.7');
    for (const trustedProxies of [['192.0.2.0/24'], ['192.0.2.7'], ['10.0.0.0/8', '192.0.2.7/32']])
      expect((await askWith({ server: { trustedProxies } }, { headers })).logged.address).toBe(
        '198.51.100.9',
      );
  });

  test('without credentials gets what anonymousPlan allows, where it is set', async () => {
    const asked = { scheme: null, proof: null, scope: 'repository:public/a:pull' };
    expect(await askWith({}, asked)).toMatchObject({ status: 401, reason: 'credentials-missing' });
    expect(await askWith({ anonymousPlan: 'community' }, asked)).toMatchObject({ status: 200 });
    const unknown = { ...asked, scheme: 'Nothing' };
    expect(await askWith({ anonymousPlan: 'community' }, unknown)).toMatchObject({ status: 401 });
  });
});

test('the sample configuration opens with its own key, and is not ready without an Authority', async () => {
  const file = new URL('../../etc/registry-token.yaml', import.meta.url).pathname;
  const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const processUsage = () => ({ cpuSeconds: 0, residentBytes: 0, startedAt: 0 });
  const context = { clock: () => site.clock.now, log, processUsage };
  const runtime = await Runtime.create((readFile) => loadConfiguration(file, {}, readFile), context);
  const ready = await runtime.handle(new Request('http://x/readyz'), noCertificate);
  expect(ready.status).toBe(503);
  expect(((await ready.json()) as Record<string, unknown>).detail).toInclude('authority-keys');
});
