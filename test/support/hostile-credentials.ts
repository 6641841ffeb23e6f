/** OpToks and proofs as a stranger can make or steal them: none of them is good. */
import { createHmac, randomUUID } from 'node:crypto';
import type { TestKey } from './keys.ts';
import { encode, type Members, opTokMembers, proofMembers, REALM, signMembers, signWith } from './tokens.ts';

/**
 * What a stranger has: keys of his own, and of a victim everything that was ever sent: an OpTok, one proof that was
 * used, one for a POST and one for another URL. He has neither the victim's key nor that of the Authority.
 */
export interface Stranger {
  readonly now: () => number;
  readonly authority: TestKey;
  readonly victim: TestKey;
  readonly own: TestKey;
  readonly weak: TestKey;
  readonly stolenOpTok: string;
  readonly stolenProofs: readonly string[];
}

export const opTokKinds = [
  'none',
  'stolen',
  'garbage',
  'parts-of-garbage',
  'self-signed',
  'random-kid',
  'kid-of-the-authority',
  'own-jwk',
  'alg-none',
  'hmac',
  'no-kid',
  'bit-flipped',
  'cut',
  'long',
  'a-proof',
  'odd-claims',
] as const;
export type OpTokKind = (typeof opTokKinds)[number];

export const proofKinds = [
  'none',
  'used',
  'for-another',
  'own-key',
  'own-key-claiming-the-victim',
  'stale',
  'future',
  'weak-key',
  'symmetric',
  'private-key',
  'random-key',
  'odd-claims',
  'garbage',
  'parts-of-garbage',
  'long',
  'two',
  'an-op-tok',
] as const;
export type ProofKind = (typeof proofKinds)[number];

/** null for none. `garbage` is any text. */
export function makeOpTok(kind: OpTokKind, garbage: string, stranger: Stranger): string | null {
  const { authority, victim, own, stolenOpTok, now } = stranger;
  const { header, claims } = opTokMembers(authority, own, now());
  const signed = (changed: Members, key = own, changedClaims: Members = {}) =>
    signWith({ header, claims }, key, { header: changed, claims: changedClaims });
  const [first, second, third = ''] = stolenOpTok.split('.');
  switch (kind) {
    case 'none':
      return null;
    case 'stolen':
      return stolenOpTok;
    case 'garbage':
      return garbage;
    case 'parts-of-garbage':
      return `${encode(garbage)}.${encode(JSON.stringify({ iss: garbage }))}.${encode('x')}`;
    case 'self-signed':
      return signed({ kid: own.thumbprint });
    case 'random-kid':
      return signed({ kid: randomUUID() });
    case 'kid-of-the-authority':
      return signed({});
    case 'own-jwk':
      return signed({ jwk: own.publicJwk, jku: 'https://evil.example.com/jwks', x5u: garbage });
    case 'alg-none':
      return `${encode(JSON.stringify({ ...header, alg: 'none' }))}.${second}.`;
    case 'hmac': {
      const input = `${encode(JSON.stringify({ ...header, alg: 'HS256' }))}.${second}`;
      const secret = JSON.stringify(authority.publicJwk);
      return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
    }
    case 'no-kid':
      return signed({ kid: undefined });
    case 'bit-flipped':
      return `${first}.${second}.${third.slice(0, -4)}AAAA`;
    case 'cut':
      return stolenOpTok.slice(0, garbage.length + 1);
    case 'long':
      return `${stolenOpTok}${'A'.repeat(8000)}`;
    case 'a-proof':
      return signMembers({ ...header, typ: 'dpop+jwt' }, claims, own);
    case 'odd-claims':
      return signed({}, own, {
        cnf: { jkt: victim.thumbprint },
        sub: 7,
        aud: [garbage],
        exp: garbage,
        scope: null,
      });
  }
}

export interface ProofSetting {
  readonly method: string;
  readonly garbage: string;
  /** What it is sent with. */
  readonly opTok: string;
}

/** null for none. */
export function makeProof(kind: ProofKind, setting: ProofSetting, stranger: Stranger): string | null {
  const { method, garbage, opTok } = setting;
  const { victim, own, weak, stolenProofs, stolenOpTok, now } = stranger;
  const { header, claims } = proofMembers(own, opTok, now());
  const good = { ...claims, htm: method };
  const signed = (changed: Members, changedClaims: Members = {}, key = own) =>
    signWith({ header, claims: good }, key, { header: changed, claims: changedClaims });
  const [used = '', ...others] = stolenProofs;
  switch (kind) {
    case 'none':
      return null;
    case 'used':
      return used;
    case 'for-another':
      return others[garbage.length % others.length] ?? used;
    case 'own-key':
      return signed({});
    case 'own-key-claiming-the-victim':
      return signed({ jwk: victim.publicJwk });
    case 'stale':
      return signed({}, { iat: now() - 3600 });
    case 'future':
      return signed({}, { iat: now() + 3600 });
    case 'weak-key':
      return signed({ alg: weak.algorithm, jwk: weak.publicJwk }, {}, weak);
    case 'symmetric':
      return signed({ alg: 'HS256', jwk: { kty: 'oct', k: encode('secret') } });
    case 'private-key':
      return signed({ jwk: own.privateJwk });
    case 'random-key':
      return signed({
        jwk: { kty: 'EC', crv: 'P-256', x: encode(randomUUID()), y: encode(garbage) },
      });
    case 'odd-claims':
      return signed({}, { jti: { a: 1 }, htu: [REALM], iat: 'now', nonce: garbage });
    case 'garbage':
      return garbage;
    case 'parts-of-garbage':
      return `${encode(garbage)}.${encode('{"jti":1}')}.${encode(garbage)}`;
    case 'long':
      return `${signed({})}${'A'.repeat(8000)}`;
    case 'two':
      return `${used}, ${signed({})}`;
    case 'an-op-tok':
      return stolenOpTok;
  }
}
