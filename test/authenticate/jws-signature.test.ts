/** jose and node:crypto are of one opinion of every signature: the step that is taken without jose decides nothing anew. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { CompactSign, compactVerify, generateKeyPair } from 'jose';
import { parseCompactJws } from '../../src/authenticate/compact-jws.ts';
import { createSignatureKey, isSignatureValid } from '../../src/authenticate/jws-signature.ts';
import { ecdsaTwin } from '../support/keys.ts';

const algorithms = [
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
];

async function theyAccept(text: string, key: CryptoKey, algorithm: string): Promise<boolean> {
  return compactVerify(text, key, { algorithms: [algorithm] }).then(
    () => true,
    () => false,
  );
}

/** What a forger can do to the bytes of a signature. */
const mutation = fc.oneof(
  fc.record({ flip: fc.nat(600), bit: fc.nat(7) }).map(({ flip, bit }) => (bytes: Buffer) => {
    const changed = Buffer.from(bytes);
    const at = flip % bytes.length;
    changed[at] = (changed[at] ?? 0) ^ (1 << bit);
    return changed;
  }),
  fc.nat(600).map((length) => (bytes: Buffer) => bytes.subarray(0, length % bytes.length)),
  fc
    .uint8Array({ minLength: 1, maxLength: 8 })
    .map((more) => (bytes: Buffer) => Buffer.concat([bytes, more])),
  fc
    .uint8Array({ minLength: 1, maxLength: 8 })
    .map((more) => (bytes: Buffer) => Buffer.concat([more, bytes])),
  fc.constantFrom(
    (bytes: Buffer) => Buffer.alloc(bytes.length),
    (bytes: Buffer) => Buffer.alloc(bytes.length, 0xff),
    // An ECDSA signature of (r, 0), of (0, s), and in DER, which JWS does not have.
    (bytes: Buffer) => Buffer.concat([bytes.subarray(0, bytes.length / 2), Buffer.alloc(bytes.length / 2)]),
    (bytes: Buffer) => Buffer.concat([Buffer.alloc(bytes.length / 2), bytes.subarray(bytes.length / 2)]),
    (bytes: Buffer) => derSignature(bytes),
  ),
  fc.constant((bytes: Buffer) => bytes),
);

function derSignature(bytes: Buffer): Buffer {
  const [r, s] = [bytes.subarray(0, bytes.length / 2), bytes.subarray(bytes.length / 2)].map((number) => {
    const trimmed = Buffer.concat([Buffer.of(0), number]);
    return Buffer.concat([Buffer.of(2, trimmed.length), trimmed]);
  });
  const content = Buffer.concat([r ?? Buffer.of(), s ?? Buffer.of()]);
  return Buffer.concat([Buffer.of(0x30, content.length), content]);
}

describe.each(algorithms)('%s', async (algorithm) => {
  const { publicKey, privateKey } = await generateKeyPair(algorithm);
  const other = await generateKeyPair(algorithm);
  const ours = createSignatureKey(publicKey, algorithm);
  if (ours === null) throw new Error(`${algorithm} is not known.`);
  const sign = (payload: string) =>
    new CompactSign(Buffer.from(payload)).setProtectedHeader({ alg: algorithm }).sign(privateKey);
  const weAccept = (text: string) => {
    const jws = parseCompactJws(text, 8192);
    return jws !== null && isSignatureValid(jws, ours);
  };

  test('takes the signatures that jose makes, and no other key’s', async () => {
    const text = await sign('{"a":1}');
    expect(weAccept(text)).toBe(true);
    const strange = createSignatureKey(other.publicKey, algorithm);
    const jws = parseCompactJws(text, 8192);
    expect(strange !== null && jws !== null && isSignatureValid(jws, strange)).toBe(false);
  });

  test('is of one opinion with jose about what a forger makes of a signature', async () => {
    let valid = 0;
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.string(), fc.integer()), mutation, async (payload, mutate) => {
        const text = await sign(JSON.stringify(payload));
        const dot = text.lastIndexOf('.');
        const forged = mutate(Buffer.from(text.slice(dot + 1), 'base64url')).toString('base64url');
        const candidate = `${text.slice(0, dot)}.${forged}`;
        if (forged === '') return;
        const theirs = await theyAccept(candidate, publicKey, algorithm);
        if (theirs) valid += 1;
        expect(weAccept(candidate)).toBe(theirs);
      }),
      { numRuns: 150 },
    );
    expect(valid).toBeGreaterThan(0);
  });

  test('refuses a signature of other content', async () => {
    const [header, , signature] = (await sign('{"a":1}')).split('.');
    const [, payload] = (await sign('{"a":2}')).split('.');
    expect(weAccept(`${header}.${payload}.${signature}`)).toBe(false);
  });
});

test('the twin of an ECDSA signature is accepted by both: it is the replay store that tells them apart', async () => {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const text = await new CompactSign(Buffer.from('{}')).setProtectedHeader({ alg: 'ES256' }).sign(privateKey);
  const twin = ecdsaTwin(text);
  const ours = createSignatureKey(publicKey, 'ES256');
  const jws = parseCompactJws(twin, 8192);
  expect(twin).not.toBe(text);
  expect(ours !== null && jws !== null && isSignatureValid(jws, ours)).toBe(true);
  expect(await theyAccept(twin, publicKey, 'ES256')).toBe(true);
});

test('an algorithm that is not known has no key', async () => {
  const { publicKey } = await generateKeyPair('ES256');
  for (const algorithm of ['HS256', 'none', 'ES256K', 'toString', '__proto__'])
    expect(createSignatureKey(publicKey, algorithm)).toBeNull();
});
