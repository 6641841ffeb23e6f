/** OpToks and proofs, good ones unless an override makes them bad: undefined removes a member. */
import { createHash, randomUUID } from 'node:crypto';
import { signBytes, type TestKey } from './keys.ts';

export type Members = Readonly<Record<string, unknown>>;

export interface Overrides {
  readonly header?: Members;
  readonly claims?: Members;
  /** Signs in place of the right key. */
  readonly key?: TestKey;
}

export const ISSUER = 'https://authority.example.com';
export const AUDIENCE = 'registry';
export const SERVICE = 'registry.example.com';
export const REALM = 'https://registry.example.com/token';

/** A compact JWS of any two JSON texts: nothing is checked, so that malformed ones can be made. */
export function signText(header: string, payload: string, key: TestKey): string {
  const input = `${encode(header)}.${encode(payload)}`;
  return `${input}.${signBytes(input, key).toString('base64url')}`;
}

export function signMembers(header: unknown, payload: unknown, key: TestKey): string {
  return signText(JSON.stringify(header), JSON.stringify(payload), key);
}

/** The members of a good OpTok of `authority`, bound to `client`. `now` in epoch seconds. */
export function opTokMembers(authority: TestKey, client: TestKey, now: number) {
  return {
    header: { typ: 'at+jwt', alg: authority.algorithm, kid: authority.thumbprint },
    claims: {
      iss: ISSUER,
      aud: AUDIENCE,
      sub: 'alice',
      client_id: 'alice-cli',
      jti: randomUUID(),
      iat: Math.floor(now) - 60,
      exp: Math.floor(now) + 600,
      scope: 'openid registry.token.issue',
      cnf: { jkt: client.thumbprint },
    },
  };
}

/** The members of a good proof of `client` for `opTok`. */
export function proofMembers(client: TestKey, opTok: string, now: number) {
  return {
    header: { typ: 'dpop+jwt', alg: client.algorithm, jwk: client.publicJwk },
    claims: {
      jti: randomUUID(),
      htm: 'GET',
      htu: REALM,
      iat: Math.floor(now),
      ath: sha256(opTok),
    },
  };
}

export function signWith(members: { header: Members; claims: Members }, key: TestKey, overrides: Overrides) {
  return signMembers(
    { ...members.header, ...overrides.header },
    { ...members.claims, ...overrides.claims },
    overrides.key ?? key,
  );
}

export function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('base64url');
}

export function encode(text: string): string {
  return Buffer.from(text).toString('base64url');
}

/** A part of a compact JWS as the JSON that it is. */
export function decodePart(jws: string, part: 0 | 1): Record<string, unknown> {
  return JSON.parse(Buffer.from(jws.split('.')[part] ?? '', 'base64url').toString());
}
