/** What is a bundle, and what is none: whole, the vendor's, and without a mistake. */
import { describe, expect, setDefaultTimeout, test } from 'bun:test';
import { parseKeySet } from '../../src/authority/key-set.ts';
import { ConfigurationFault, formatMistake } from '../../src/document/mistakes.ts';
import { MOST_BUNDLE_BYTES, readBundle } from '../../src/entitlements/bundle.ts';
import { neverPause } from '../../src/platform/pauses.ts';
import { type BundleParts, signBundle, signParts, vendorKeySet } from '../support/bundles.ts';
import { createKey } from '../support/keys.ts';

setDefaultTimeout(120_000);

const NOW = 1_800_000_000;
const vendor = await createKey('ES256');
const keys = parseKeySet(vendorKeySet(vendor));

const read = (text: string | Uint8Array, keySet = keys) =>
  readBundle(Buffer.from(text), 'bundle.jws', keySet, neverPause);

/** Every mistake, a line each; empty where it is a bundle. */
async function mistakesOf(text: string | Uint8Array, keySet = keys): Promise<string> {
  try {
    await read(text, keySet);
    return '';
  } catch (cause) {
    if (!(cause instanceof ConfigurationFault)) throw cause;
    return cause.mistakes.map(formatMistake).join('\n');
  }
}

const mistakesWith = (parts: BundleParts) => mistakesOf(signBundle(vendor, NOW, parts));

describe('a bundle', () => {
  test('says what it is signed for', async () => {
    const plans = {
      '7': { catalog: true },
      basic: { lifetime: '10m', repositories: [{ pattern: 'a/*' }] },
      '1': {},
    };
    const payload = {
      plans,
      serial: 12,
      revokedLicenses: ['L1', 'L2', 'L1'],
      note: 'November',
      aud: ['a', '*'],
    };
    const bundle = await read(signBundle(vendor, NOW, { payload }));
    expect(bundle).toMatchObject({
      issuer: 'vendor.example.com',
      sites: ['a', '*'],
      serial: 12,
      issuedAt: NOW - 60,
      note: 'November',
      keyId: vendor.thumbprint,
      algorithm: 'ES256',
    });
    expect([...bundle.revokedLicenses]).toEqual(['L1', 'L2']);
    expect(bundle.plans.get('basic')).toEqual({
      catalog: false,
      lifetime: 600,
      repositories: [{ pattern: 'a/*', actions: ['pull'] }],
    });
  });

  test('keeps the order of its plans, numbers too', async () => {
    const json = `{"iss":"v","aud":"*","serial":1,"iat":1,"exp":2,"plans":{"b":{},"7":{},"1":{}}}`;
    const bundle = await read(signBundle(vendor, NOW, { json }));
    expect([...bundle.plans.keys()]).toEqual(['b', '7', '1']);
    expect(bundle).toMatchObject({ notBefore: 1, defaultPlan: null, note: null });
  });

  test('may end with a line end', async () => {
    const text = signBundle(vendor, NOW);
    expect(await mistakesOf(`${text}\n`)).toBe('');
    expect(await mistakesOf(`${text}\r\n`)).toBe('');
    expect(await mistakesOf(`${text}\n\n`)).toContain('not base64url');
  });

  test.each(['ES384', 'EdDSA', 'PS256', 'RS256'] as const)('may be signed with %s', async (algorithm) => {
    const key = await createKey(algorithm);
    const text = signBundle(key, NOW);
    expect(await mistakesOf(text, parseKeySet(vendorKeySet(vendor, key)))).toBe('');
    const altered = text.replace(/\.[^.]*\./, `.${Buffer.from('{}').toString('base64url')}.`);
    expect(await mistakesOf(altered, parseKeySet(vendorKeySet(vendor, key)))).toContain('does not verify');
  });

  test('of 500,000 licences is read', async () => {
    const revokedLicenses = Array.from({ length: 500_000 }, (_, index) => `license-${index}`);
    const bundle = await read(signBundle(vendor, NOW, { payload: { revokedLicenses } }));
    expect(bundle.revokedLicenses.size).toBe(500_000);
  });
});

describe('is refused:', () => {
  const text = signBundle(vendor, NOW);

  test('what is cut short, wherever', async () => {
    for (let length = 0; length < text.length; length += 1)
      expect(await mistakesOf(text.slice(0, length))).toMatch(/is not a bundle|does not verify/);
  });

  test('what was changed in any character', async () => {
    for (let at = 0; at < text.length; at += 1) {
      const changed = `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`;
      expect(await mistakesOf(changed)).not.toBe('');
    }
  });

  test('what is larger than 64 MiB, before it is looked at', async () => {
    expect(await mistakesOf(Buffer.alloc(MOST_BUNDLE_BYTES + 1))).toContain('at most 67108864 are read');
  });

  test('a signature of another key, with the kid of the right one', async () => {
    const other = await createKey('ES256');
    expect(await mistakesOf(signBundle(other, NOW, { header: { kid: vendor.thumbprint } }))).toContain(
      'does not verify',
    );
  });

  test('a key that is in the header and nowhere else', async () => {
    const other = await createKey('ES256');
    const header = { jwk: other.publicJwk };
    expect(await mistakesOf(signBundle(other, NOW, { header }))).toContain('has "jwk" in its header');
    expect(await mistakesOf(signBundle(other, NOW))).toContain('has no such key');
  });

  test('a key that is listed for encryption', async () => {
    const other = await createKey('ES256');
    const listed = {
      keys: [...JSON.parse(vendorKeySet(vendor)).keys, { ...other.publicJwk, kid: 'e', use: 'enc' }],
    };
    const forEncryption = signBundle(other, NOW, { header: { kid: 'e' } });
    expect(await mistakesOf(forEncryption, parseKeySet(JSON.stringify(listed)))).toContain('has no such key');
  });

  test('an RSA key of 1024 bits', async () => {
    const short = await createKey('RS256', 1024);
    expect(await mistakesOf(signBundle(short, NOW), parseKeySet(vendorKeySet(short)))).toContain(
      'does not verify',
    );
  });

  test.each([
    [{ alg: 'none' }, 'is signed with none'],
    [{ alg: 'RS256' }, 'is signed with RS256'],
    [{ alg: 'HS256' }, 'is signed with HS256'],
    [{ alg: 7 }, 'alg 7'],
    [{ typ: 'JWT' }, 'its typ is "JWT"'],
    [{ typ: undefined }, 'its typ is missing'],
    [{ kid: undefined }, 'kid missing'],
    [{ kid: 'other' }, 'by the key "other"'],
    [{ crit: ['b64'], b64: false }, 'has "crit", "b64" in its header'],
    [{ cty: 'json' }, 'has "cty" in its header'],
  ])('the header %o', async (header, message) => {
    expect(await mistakesWith({ header })).toContain(message);
  });

  test('a header or a payload with two members of one name, or another text than JSON', async () => {
    const head = `{"typ":"registry-entitlements+jwt","alg":"ES256","kid":"${vendor.thumbprint}"`;
    const payload = '{"iss":"v","aud":"*","serial":1,"iat":1,"exp":2,"plans":{}';
    expect(await mistakesOf(signParts(`${head}}`, `${payload}}`, vendor))).toBe('');
    expect(await mistakesOf(signParts(`${head},"kid":"x"}`, `${payload}}`, vendor))).toContain(
      'a member twice',
    );
    const twice = await mistakesOf(signParts(`${head}}`, `${payload},"serial":2}`, vendor));
    expect(twice).toBe('bundle.jws#/serial: is set twice in the same object');
    expect(await mistakesOf(signParts(`${head}}`, payload, vendor))).toContain('(payload):1:59');
    expect(await mistakesOf(signParts(`${head}}`, '[]', vendor))).toContain('an object is missing');
    expect(await mistakesOf(signParts(`${head}}`, 'null', vendor))).toContain('an object is missing');
    expect(await mistakesOf(signParts('[]', `${payload}}`, vendor))).toContain('not a JSON object');
  });

  test.each([
    [{ serial: '7' }, '#/serial: must be a number, not "7"'],
    [{ serial: 2 ** 53 }, '#/serial: must be'],
    [{ serial: 0 }, '#/serial: must be at least 1'],
    [{ serial: 1.5 }, '#/serial: must be a whole number'],
    [{ serial: undefined }, '#/serial: is missing'],
    [{ iss: undefined }, '#/iss: is missing'],
    [{ aud: undefined }, '#/aud: '],
    [{ aud: [] }, '#/aud: '],
    [{ plans: undefined }, '#/plans: is missing'],
    [{ plans: ['basic'] }, '#/plans: must be a mapping'],
    [{ exp: NOW - 61, nbf: NOW - 60 }, '#/exp: must be later than nbf'],
    [{ exp: NOW + 5, nbf: NOW + 5 }, '#/exp: must be later than nbf'],
    [{ exp: undefined }, '#/exp: is missing'],
    [{ exp: 'tomorrow' }, '#/exp: must be a number'],
    [{ defaultPlan: 'gold' }, '#/defaultPlan: must be the name of a plan of the bundle'],
    [{ revokedLicenses: ['a', 7] }, '#/revokedLicenses/1: must be text, not 7'],
    [{ revokedLicenses: [''] }, '#/revokedLicenses/0: must not be empty'],
    [{ revokedLicenses: 'a' }, '#/revokedLicenses: must be a list'],
    [{ revokedLicences: [] }, '#/revokedLicences: unknown key; did you mean `revokedLicenses`?'],
    [{ plans: { 'a b': {} } }, '#/plans/a b: is not a valid name'],
    [
      { plans: { 'a/~b': { catalogue: true } } },
      '#/plans/a~1~0b/catalogue: unknown key; did you mean `catalog`?',
    ],
    [{ plans: JSON.parse('{"__proto__":{}}') }, '#/plans/__proto__: is a name that cannot be used'],
    [{ note: 'x'.repeat(2001) }, '#/note: must be at most 2000'],
  ])('the payload %o', async (payload, message) => {
    expect(await mistakesWith({ payload })).toContain(`bundle.jws${message}`);
  });

  test('a bad pattern in the middle of 2,000 plans, with its place', async () => {
    const plans = Object.fromEntries(
      Array.from({ length: 2000 }, (_, plan) => [
        `plan-${plan}`,
        {
          repositories: Array.from({ length: 20 }, (_, rule) => ({
            pattern: plan === 1000 && rule === 7 ? 'a//b' : 'a/*',
          })),
        },
      ]),
    );
    expect(await mistakesWith({ payload: { plans, defaultPlan: undefined } })).toMatch(
      /^bundle\.jws#\/plans\/plan-1000\/repositories\/7\/pattern: [^\n]+$/,
    );
  });

  test('every mistake at once, fifty at most', async () => {
    const payload = { serial: 'x', exp: 'y', revokedLicenses: [1, 2] };
    expect((await mistakesWith({ payload })).split('\n')).toHaveLength(4);
    const many = await mistakesWith({ payload: { revokedLicenses: Array(1000).fill(7) } });
    expect(many.split('\n')).toHaveLength(51);
    expect(many).toEndWith('there are more mistakes');
  });
});
