/** Bundles of entitlements as a vendor would sign them, and as one who should not. */
import { signBytes, type TestKey } from './keys.ts';

export type Members = Readonly<Record<string, unknown>>;

/** The site of the tests. */
export const SITE = 'plant-7';

export interface BundleParts {
  readonly header?: Members;
  readonly payload?: Members;
  /** In place of the payload's JSON. */
  readonly json?: string;
}

/** A bundle with one plan; `payload` overrides its members, undefined leaves one out. */
export function signBundle(key: TestKey, now: number, { header, payload, json }: BundleParts = {}): string {
  const members = {
    iss: 'vendor.example.com',
    aud: SITE,
    serial: 1,
    iat: now - 60,
    nbf: now - 60,
    exp: now + 35 * 86_400,
    defaultPlan: 'basic',
    plans: { basic: { repositories: [{ pattern: 'vendor/*' }] } },
    revokedLicenses: [],
    ...payload,
  };
  const head = { typ: 'registry-entitlements+jwt', alg: key.algorithm, kid: key.thumbprint, ...header };
  return signParts(JSON.stringify(head), json ?? JSON.stringify(members), key);
}

export function signParts(header: string, payload: string, key: TestKey): string {
  const input = `${base64url(header)}.${base64url(payload)}`;
  return `${input}.${signBytes(input, key).toString('base64url')}`;
}

/** The JWKS with these keys, as `entitlements.keysPath` has it. */
export function vendorKeySet(...keys: readonly TestKey[]): string {
  return JSON.stringify({
    keys: keys.map(({ publicJwk, thumbprint }) => ({ ...publicJwk, kid: thumbprint })),
  });
}

function base64url(text: string): string {
  return Buffer.from(text).toString('base64url');
}
