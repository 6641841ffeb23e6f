/** The vendor's side: plans and revoked licences to a bundle. Of the same input, everything but the signature is the same. */
import { constants, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { z } from 'zod';
import { inOrder } from '../config/plans-file.ts';
import { type Plans, plansSchema } from '../config/schema.ts';
import { type ConfigurationDocument, parseConfigurationDocument } from '../document/document.ts';
import { explainIssue, formatKey } from '../document/issues.ts';
import { parseJsonDocument } from '../document/json-document.ts';
import { ConfigurationFault } from '../document/mistakes.ts';
import type { KeyPath } from '../document/text.ts';
import { algorithmOf, type SigningAlgorithm } from '../keys/key-algorithm.ts';
import { BUNDLE_TYPE } from './bundle.ts';
import { noteText } from './payload.ts';

const text = z.string().min(1, { error: 'must not be empty' });

const contentSchema = z.strictObject({
  issuer: text.optional(),
  note: noteText.optional(),
  defaultPlan: text.optional(),
  plans: plansSchema,
  revokedLicenses: z.array(text).default([]),
});

/** What a vendor wrote down. */
export interface Content {
  readonly issuer: string | null;
  readonly note: string | null;
  readonly defaultPlan: string | null;
  readonly plans: ReadonlyMap<string, Plans[string]>;
  readonly revokedLicenses: readonly string[];
}

/** Reads YAML, or JSON where the file's name says so. Throws ConfigurationFault with every mistake. */
export function readContent(source: string, file: string): Content {
  const document = file.endsWith('.json')
    ? parseJsonDocument(source, file)
    : parseConfigurationDocument(source, file);
  const result = contentSchema.safeParse(document.value ?? {}, { reportInput: true });
  const mistakeAt = (path: KeyPath, message: string) => ({
    source: file,
    ...document.placeOfKey(path),
    key: formatKey(path),
    message,
  });
  if (!result.success)
    throw new ConfigurationFault(
      result.error.issues.flatMap((issue) =>
        explainIssue(issue, { schema: contentSchema, holdsSecret: () => false, mistakeAt }),
      ),
    );
  const { issuer = null, note = null, defaultPlan = null, plans, revokedLicenses } = result.data;
  if (defaultPlan !== null && !Object.hasOwn(plans, defaultPlan))
    throw new ConfigurationFault([
      mistakeAt(['defaultPlan'], `must be the name of a plan, not ${JSON.stringify(defaultPlan)}`),
    ]);
  return { issuer, note, defaultPlan, plans: plansInOrder(plans, document), revokedLicenses };
}

function plansInOrder(plans: Plans, document: ConfigurationDocument): ReadonlyMap<string, Plans[string]> {
  return inOrder(plans, document, ['plans']);
}

/** Times in epoch seconds. */
export interface Envelope {
  readonly issuer: string;
  readonly sites: readonly string[];
  readonly serial: number;
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** The payload's JSON. Licences are sorted, and each is there once. */
export function writePayload(
  content: Content,
  { issuer, sites, serial, issuedAt, expiresAt }: Envelope,
): string {
  const { note, defaultPlan, plans, revokedLicenses } = content;
  const [only, ...others] = sites;
  const head = {
    iss: issuer,
    aud: others.length === 0 ? only : sites,
    serial,
    iat: issuedAt,
    nbf: issuedAt,
    exp: expiresAt,
    ...(note === null ? {} : { note }),
    ...(defaultPlan === null ? {} : { defaultPlan }),
  };
  // By hand: an object would put names that are numbers first.
  const plansJson = [...plans].map(([name, plan]) => `${JSON.stringify(name)}:${JSON.stringify(plan)}`);
  const licenses = JSON.stringify([...new Set(revokedLicenses)].toSorted());
  return `${JSON.stringify(head).slice(0, -1)},"plans":{${plansJson.join(',')}},"revokedLicenses":${licenses}}`;
}

/** Who signs. */
export interface BundleSigner {
  readonly algorithm: SigningAlgorithm;
  readonly keyId: string;
  /** The signature of a JWS (RFC 7518 §3) over these bytes. */
  readonly sign: (input: Buffer) => Promise<Buffer>;
}

export async function signPayload(
  payload: string,
  { algorithm, keyId, sign }: BundleSigner,
): Promise<string> {
  const header = { typ: BUNDLE_TYPE, alg: algorithm, kid: keyId };
  const input = [JSON.stringify(header), payload]
    .map((part) => Buffer.from(part).toString('base64url'))
    .join('.');
  const signature = await sign(Buffer.from(input, 'latin1'));
  return `${input}.${signature.toString('base64url')}`;
}

export const digestOf = { ES256: 'sha256', ES384: 'sha384', RS256: 'sha256', EdDSA: null } as const;

/** A key that is at hand. */
export function keySigner(key: KeyObject, keyId: string): BundleSigner {
  const algorithm = algorithmOf(key);
  return {
    algorithm,
    keyId,
    // RFC 7518 §3.4: R and S concatenated, not DER.
    sign: async (input) => sign(digestOf[algorithm], input, { key, dsaEncoding: 'ieee-p1363' }),
  };
}

/**
 * The signature of a JWS from what something else made of the digest: R and S concatenated or as DER, or of RSA; also as base64.
 * null where it is none of the input by this key.
 */
export function asJwsSignature(made: Buffer, input: Buffer, publicKey: KeyObject): Buffer | null {
  const algorithm = algorithmOf(publicKey);
  const digest = digestOf[algorithm];
  const decoded = Buffer.from(made.toString('latin1').trim(), 'base64');
  for (const candidate of [made, decoded])
    for (const signature of [candidate, concatenated(candidate, algorithm)]) {
      if (signature === null || signature.length === 0) continue;
      const key = {
        key: publicKey,
        dsaEncoding: 'ieee-p1363',
        padding: constants.RSA_PKCS1_PADDING,
      } as const;
      try {
        if (verify(digest, input, key, signature)) return signature;
      } catch {
        // Not a signature in this form.
      }
    }
  return null;
}

const INTEGER_BYTES: Readonly<Partial<Record<SigningAlgorithm, number>>> = { ES256: 32, ES384: 48 };

/** R and S of an ECDSA signature in DER (RFC 3279 §2.2.3), which is shorter than 128 bytes for these curves. */
function concatenated(der: Buffer, algorithm: SigningAlgorithm): Buffer | null {
  const size = INTEGER_BYTES[algorithm];
  if (size === undefined || der[0] !== 0x30 || der[1] !== der.length - 2) return null;
  const rEnd = 4 + (der[3] ?? 0);
  const integers = [der.subarray(4, rEnd), der.subarray(rEnd + 2)];
  const padded = integers.map((integer) => {
    const digits = integer[0] === 0 ? integer.subarray(1) : integer;
    return Buffer.concat([Buffer.alloc(Math.max(0, size - digits.length)), digits]);
  });
  return Buffer.concat(padded);
}

/** What the key set of a vendor holds of a signer. */
export function publicKeyOf(key: KeyObject): KeyObject {
  return key.type === 'public' ? key : createPublicKey(key);
}
