/** The proof: the header, its shape, its type and algorithm. */
import { describe, test } from 'bun:test';
import { createHmac } from 'node:crypto';
import { ask, expectRefusal, expectToken, send } from '../support/ask.ts';
import { createKey } from '../support/keys.ts';
import { createHarness } from '../support/service.ts';
import { encode, proofMembers, REALM, SERVICE, signMembers, signText } from '../support/tokens.ts';

const harness = await createHarness();
const { clientKey, clock } = harness;
const opTok = harness.opTok();
const goodProof = () => harness.proof(opTok);

describe('exactly one DPoP field with one value', () => {
  test('refuses two good proofs in one field, as a repeated field arrives', async () => {
    expectRefusal(await ask(harness, { opTok, proof: `${goodProof()}, ${goodProof()}` }), 'proof-malformed');
    expectRefusal(await ask(harness, { opTok, proof: `${goodProof()},${goodProof()}` }), 'proof-malformed');
  });

  test('refuses a repeated field', async () => {
    const headers = new Headers({ Authorization: `DPoP ${opTok}` });
    headers.append('DPoP', goodProof());
    headers.append('DPoP', goodProof());
    const request = new Request(`${REALM}?service=${SERVICE}`, { headers });
    expectRefusal(await send(harness, request), 'proof-malformed');
  });

  test.each(['DPoP', 'dpop', 'DPOP', 'dPoP'])('reads the field under the name %s', async (name) => {
    const headers = { Authorization: `DPoP ${opTok}`, [name]: goodProof() };
    expectToken(await send(harness, new Request(`${REALM}?service=${SERVICE}`, { headers })));
  });

  test.each([
    ['a trailing comma', (proof: string) => `${proof},`],
    ['a leading comma', (proof: string) => `, ${proof}`],
    ['nothing', () => ''],
    ['a scheme before it', (proof: string) => `DPoP ${proof}`],
    ['quotes around it', (proof: string) => `"${proof}"`],
    ['a parameter after it', (proof: string) => `${proof}; v=1`],
    ['a second proof after a space', (proof: string) => `${proof} ${proof}`],
  ])('refuses a field with %s', async (_, change) => {
    expectRefusal(await ask(harness, { opTok, proof: change(goodProof()) }), 'proof-malformed');
  });

  test('takes no proof from the query or the form', async () => {
    const headers = { Authorization: `DPoP ${opTok}` };
    const query = new URLSearchParams({ service: SERVICE, DPoP: goodProof(), dpop: goodProof() });
    expectRefusal(await send(harness, new Request(`${REALM}?${query}`, { headers })), 'proof-missing');
    const posted = new Request(REALM, { method: 'POST', headers, body: query });
    expectRefusal(await send(harness, posted), 'proof-missing');
  });
});

describe('a compact JWS in strict base64url of at most 8 KiB', () => {
  test.each([
    ['two parts', (parts: string[]) => parts.slice(0, 2).join('.')],
    ['four parts', (parts: string[]) => [...parts, 'AAAA'].join('.')],
    ['padding', (parts: string[]) => `${parts.join('.')}==`],
    ['an empty signature', (parts: string[]) => `${parts[0]}.${parts[1]}.`],
    ['a space', (parts: string[]) => parts.join('. ')],
    ['a part of impossible length', (parts: string[]) => `${parts.join('.')}AAA`],
    ['trailing bits', (parts: string[]) => `${parts.join('.').slice(0, -1)}B`],
    ['a plus sign', (parts: string[]) => `${parts[0]}.${parts[1]}.+${parts[2]?.slice(1)}`],
    ['a payload that is no JSON', (parts: string[]) => `${parts[0]}.${encode('{')}.${parts[2]}`],
    ['a header that is no object', (parts: string[]) => `${encode('"x"')}.${parts[1]}.${parts[2]}`],
  ])('refuses a proof with %s', async (_, change) => {
    expectRefusal(await ask(harness, { opTok, proof: change(goodProof().split('.')) }), 'proof-malformed');
  });

  test.each([
    ['null', 'null'],
    ['an array', '[1]'],
    ['a string', '"x"'],
    ['true', 'true'],
  ])('refuses a signed payload that is %s', async (_, payload) => {
    const { header } = proofMembers(clientKey, opTok, clock.now);
    const proof = signText(JSON.stringify(header), payload, clientKey);
    expectRefusal(await ask(harness, { opTok, proof }), 'proof-malformed');
  });

  test('accepts a proof below 8 KiB and refuses one above', async () => {
    const proofOf = (length: number) => harness.proof(opTok, { claims: { filler: 'x'.repeat(length) } });
    expectToken(await ask(harness, { opTok, proof: proofOf(5500) }));
    expectRefusal(await ask(harness, { opTok, proof: proofOf(6200) }), 'proof-malformed');
  });
});

describe('typ is dpop+jwt and alg is asymmetric and listed', () => {
  test.each<[unknown]>([
    [undefined],
    ['JWT'],
    ['at+jwt'],
    ['application/dpop+jwt'],
    ['DPOP+JWT'],
    ['dpop+jwt '],
    [''],
    [null],
    [1],
    [['dpop+jwt']],
  ])('refuses typ %j', async (typ) => {
    expectRefusal(
      await ask(harness, { opTok, proof: harness.proof(opTok, { header: { typ } }) }),
      'proof-type',
    );
  });

  test('refuses the OpTok in the place of a proof', async () => {
    expectRefusal(await ask(harness, { opTok, proof: opTok }), 'proof-type');
  });

  test.each<[unknown]>([
    [undefined],
    ['none'],
    ['NONE'],
    ['HS256'],
    ['ES512'],
    ['RSA-OAEP'],
    ['es256'],
    [''],
    [null],
    [256],
    [['ES256']],
    ['__proto__'],
  ])('refuses alg %j', async (alg) => {
    const proof = harness.proof(opTok, { header: { alg } });
    expectRefusal(await ask(harness, { opTok, proof }), 'proof-algorithm');
  });

  test('refuses HS256 keyed with the public key of the header', async () => {
    const { header, claims } = proofMembers(clientKey, opTok, clock.now);
    const input = [{ ...header, alg: 'HS256' }, claims].map((part) => encode(JSON.stringify(part))).join('.');
    const secret = clientKey.publicKey.export({ type: 'spki', format: 'der' });
    const proof = `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
    expectRefusal(await ask(harness, { opTok, proof }), 'proof-algorithm');
  });

  test('refuses an algorithm that the configuration leaves out', async () => {
    const strict = await createHarness({ dpop: { algorithms: ['EdDSA'] } });
    expectRefusal(await ask(strict), 'proof-algorithm');
  });

  test.each(['ES256', 'ES384', 'EdDSA', 'PS256', 'RS256'] as const)('accepts %s', async (algorithm) => {
    expectToken(await ask(await createHarness({ clientKey: await createKey(algorithm) })));
  });

  test.each<[unknown]>([[['exp']], [['b64']], [[]], [null], ['nonce']])('refuses crit %j', async (crit) => {
    const proof = harness.proof(opTok, { header: { crit, b64: true } });
    expectRefusal(await ask(harness, { opTok, proof }), 'proof-malformed');
  });
});

describe('members that nobody knows are ignored', () => {
  test('accepts unknown members in header, jwk and claims', async () => {
    const header = {
      kid: 7,
      x5u: 'https://attacker.example',
      jku: {},
      b64: false,
      cty: [],
      jwk: { ...clientKey.publicJwk, kid: 7, use: 'enc', alg: 'XX', key_ops: ['sign'], ext: 'no', foo: null },
    };
    const claims = { nonce: 'of somebody else', aud: 7, sub: [], iss: null, foo: { bar: 1 } };
    expectToken(await ask(harness, { opTok, proof: harness.proof(opTok, { header, claims }) }));
  });

  test('accepts unknown members in the OpTok', async () => {
    const claims = { foo: 1, groups: [{}], constructor: 1, hasOwnProperty: 'x', auth_time: 'x' };
    const unknown = harness.opTok({ header: { foo: 1, cty: 7 }, claims });
    expectToken(await ask(harness, { opTok: unknown }));
  });

  test('reads no member from a __proto__', async () => {
    const { header, claims } = proofMembers(clientKey, opTok, clock.now);
    const hidden = `{"__proto__":${JSON.stringify(claims)}}`;
    const proof = signText(JSON.stringify(header), hidden, clientKey);
    expectRefusal(await ask(harness, { opTok, proof }), 'proof-malformed');
    const noJwk = `{"typ":"dpop+jwt","alg":"ES256","__proto__":${JSON.stringify(header)}}`;
    const withoutKey = signText(noJwk, JSON.stringify(claims), clientKey);
    expectRefusal(await ask(harness, { opTok, proof: withoutKey }), 'proof-key');
  });
});

describe('a proof and an OpTok bound by DPoP come together or not at all', async () => {
  const lenient = await createHarness({ clientKey, accept: ['dpop', 'none'] });
  const unbound = lenient.opTok({ claims: { cnf: undefined } });

  test.each(['DPoP', 'Bearer'] as const)('refuses a proof beside an unbound OpTok (%s)', async (scheme) => {
    expectRefusal(await ask(lenient, { opTok: unbound, scheme }), 'proof-binding');
  });

  test('refuses the scheme DPoP without a proof, bound or not', async () => {
    expectRefusal(await ask(lenient, { opTok: unbound, proof: null }), 'proof-missing');
    expectRefusal(await ask(harness, { opTok, proof: null }), 'proof-missing');
  });

  test.each(['DPoP', 'Bearer', 'Basic', 'form'] as const)(
    'refuses a bound OpTok without a proof however it comes (%s)',
    async (scheme) => {
      expectRefusal(await ask(harness, { opTok, scheme, method: 'POST', proof: null }), 'proof-missing');
    },
  );

  test.each(['Basic', 'form'] as const)('refuses a proof beside %s as a second way', async (scheme) => {
    expectRefusal(await ask(harness, { opTok, scheme, method: 'POST' }), 'credentials-ambiguous');
  });

  test('accepts Bearer beside a proof, and refuses it where bearerScheme is refuse', async () => {
    expectToken(await ask(harness, { opTok, scheme: 'Bearer' }));
    const strict = await createHarness({ dpop: { bearerScheme: 'refuse' } });
    expectRefusal(await ask(strict, { scheme: 'Bearer' }), 'proof-binding');
    expectToken(await ask(strict));
  });

  test('asks for credentials where there is a proof alone', async () => {
    expectRefusal(await ask(harness, { scheme: 'none' }), 'credentials-missing');
  });

  test('refuses a proof signed as a whole other document', async () => {
    const proof = signMembers({ typ: 'dpop+jwt', alg: 'ES256', jwk: clientKey.publicJwk }, {}, clientKey);
    expectRefusal(await ask(harness, { opTok, proof }), 'proof-malformed');
  });
});
