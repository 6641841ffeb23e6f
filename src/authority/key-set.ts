/** One key set of the Authority: checked, indexed, and its keys imported once each. */
import { createHash } from 'node:crypto';
import { importJWK, type JWK } from 'jose';
import { excerpt, found } from '../platform/escape.ts';

export interface AuthorityKeySet {
  /**
   * The keys for this `alg` and `kid`, in the order of the document: usually one, several where different keys share
   * a `kid` (four at most), none where no key fits, or where more than one does and there is no `kid` to tell them apart.
   */
  find(algorithm: string, keyId: string | null): Promise<readonly CryptoKey[]>;
  /** Why `find` found nothing, for messages: the key that was asked for, and those that are there. */
  describeMiss(algorithm: string, keyId: string | null): string;
  /** Whether a key is for one of these algorithms. */
  fits(algorithms: readonly string[]): boolean;
  /** The keys by `kid` and kind, for messages. */
  describe(): string;
  /** What is wrong with the document although it can be used: sentences for the log and for `check`. */
  readonly warnings: readonly string[];
}

const MAX_KEYS = 100;
/** Of the keys under one `kid`, how many are tried. */
const MAX_TRIED = 4;

/** A public key of the document, imported for an algorithm when it is first asked for. */
interface ListedKey {
  readonly jwk: JWK;
  readonly keyId: string | null;
  /** RFC 7517 §4.4; null where any algorithm of the key's kind will do. */
  readonly algorithm: string | null;
  readonly imported: Map<string, Promise<CryptoKey | null>>;
}

/**
 * Makes a key set of a JWKS document (RFC 7517 §5). Keys that cannot verify a signature are left out: of other kinds,
 * listed for encryption, or whose `key_ops` lacks `verify`. Throws an Error that says what is wrong with the document:
 * no JSON, no `keys`, none that can verify, or more than 100.
 */
export function parseKeySet(json: string): AuthorityKeySet {
  let document: unknown;
  try {
    document = JSON.parse(withoutByteOrderMark(json));
  } catch {
    throw new Error('The key set is not JSON.');
  }
  const members = (document as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(members)) throw new Error('The key set has no array "keys".');
  const usable = members.filter(
    (key): key is JwkMembers => typeof key === 'object' && key !== null && isSignatureKey(key),
  );
  if (usable.length === 0) throw new Error('The key set holds no public signature key.');
  if (usable.length > MAX_KEYS) throw new Error(`The key set holds more than ${MAX_KEYS} keys.`);
  const keys = withoutRepetitions(usable.map(listedKey));
  return {
    find: async (algorithm, keyId) => {
      const fitting = keys.filter(
        (key) => (keyId === null || key.keyId === keyId) && fitsAlgorithm(key, algorithm),
      );
      if (keyId === null && fitting.length > 1) return [];
      const imported = await Promise.all(
        fitting.slice(0, MAX_TRIED).map((key) => importOnce(key, algorithm)),
      );
      return imported.filter((key) => key !== null);
    },
    fits: (algorithms) => algorithms.some((algorithm) => keys.some((key) => fitsAlgorithm(key, algorithm))),
    describe: () => describe(keys),
    describeMiss: (algorithm, keyId) => describeMiss(keys, algorithm, keyId),
    warnings: members.some(isPrivate)
      ? [
          'The key set holds private or secret keys. Their public parts are used; the keys should be replaced.',
        ]
      : [],
  };
}

function describe(keys: readonly ListedKey[]): string {
  const named = keys.slice(0, MAX_NAMED).map(({ jwk, keyId, algorithm }) => {
    const kind = [jwk.kty, jwk.crv, algorithm].filter((word) => typeof word === 'string').join(' ');
    return `${keyId === null ? 'without kid' : found(keyId)} (${excerpt(kind, 40)})`;
  });
  return `${named.join(', ')}${keys.length > MAX_NAMED ? ` and ${keys.length - MAX_NAMED} more` : ''}`;
}

function describeMiss(keys: readonly ListedKey[], algorithm: string, keyId: string | null): string {
  const sameKid = keyId !== null && keys.some((key) => key.keyId === keyId);
  const why =
    keyId === null && keys.filter((key) => fitsAlgorithm(key, algorithm)).length > 1
      ? 'more than one key matches'
      : sameKid
        ? 'the key with that kid does not match the algorithm'
        : 'it is not there';
  return `The OpTok's kid is ${found(keyId ?? undefined)} and its alg ${algorithm}: ${why}; the key set has ${describe(keys)}.`;
}

/** Of the keys in a message. */
const MAX_NAMED = 5;

/** Some servers put U+FEFF before JSON; RFC 8259 §8.1 allows to ignore it. */
export function withoutByteOrderMark(text: string): string {
  return text.startsWith('\ufeff') ? text.slice(1) : text;
}

type JwkMembers = Readonly<Record<string, unknown>>;

/** The members that make a public key of each type (RFC 7518 §6, RFC 8037 §2): a key without them is none. */
const keyMembers = new Map<unknown, readonly string[]>([
  ['RSA', ['n', 'e']],
  ['EC', ['crv', 'x', 'y']],
  ['OKP', ['crv', 'x']],
]);

function isSignatureKey(key: JwkMembers): boolean {
  const members = keyMembers.get(key.kty);
  if (members === undefined || key.use === 'enc') return false;
  if (Array.isArray(key.key_ops) && !key.key_ops.includes('verify')) return false;
  return members.every((member) => typeof key[member] === 'string');
}

/** RFC 7518 §6.2.2, §6.3.2 and §6.4.1: `d` is private in every kind of key pair, and `k` is a secret. */
function isPrivate(key: unknown): boolean {
  return typeof key === 'object' && key !== null && ('d' in key || 'k' in key);
}

/** Only what makes the public key is taken over: a private part is not imported, and `key_ops` cannot forbid it. */
function listedKey(key: JwkMembers): ListedKey {
  const members = ['kty', ...(keyMembers.get(key.kty) ?? [])].map((member) => [member, key[member]]);
  return {
    jwk: Object.fromEntries(members) as JWK,
    keyId: typeof key.kid === 'string' ? key.kid : null,
    algorithm: typeof key.alg === 'string' ? key.alg : null,
    imported: new Map(),
  };
}

function withoutRepetitions(keys: readonly ListedKey[]): readonly ListedKey[] {
  const seen = new Set<string>();
  return keys.filter(({ jwk, keyId, algorithm }) => {
    const identity = createHash('sha256')
      .update(JSON.stringify([jwk, keyId, algorithm]))
      .digest('base64url');
    return !seen.has(identity) && seen.add(identity);
  });
}

/** RFC 7518 §3.1, RFC 8037 §3.1, RFC 9864 §2.2: the kind of key, and its curve, of each algorithm. */
const keyKinds = new Map<string, readonly [kty: string, crv?: string]>([
  ['ES256', ['EC', 'P-256']],
  ['ES384', ['EC', 'P-384']],
  ['ES512', ['EC', 'P-521']],
  ['EdDSA', ['OKP', 'Ed25519']],
  ['Ed25519', ['OKP', 'Ed25519']],
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'].map((name) => [name, ['RSA']] as const),
]);

function fitsAlgorithm({ jwk, algorithm: listed }: ListedKey, algorithm: string): boolean {
  const kind = keyKinds.get(algorithm);
  if (kind === undefined || jwk.kty !== kind[0] || jwk.crv !== kind[1]) return false;
  return listed === null || oneName(listed) === oneName(algorithm);
}

/** RFC 9864 calls Ed25519 what RFC 8037 called EdDSA: a key set may say the one, and its tokens the other. */
function oneName(algorithm: string): string {
  return algorithm === 'EdDSA' ? 'Ed25519' : algorithm;
}

function importOnce(key: ListedKey, algorithm: string): Promise<CryptoKey | null> {
  const known = key.imported.get(algorithm);
  if (known !== undefined) return known;
  const importing = importKey(key.jwk, algorithm);
  key.imported.set(algorithm, importing);
  return importing;
}

/** null for a key that is none, such as a point beside its curve: jose then throws errors of several kinds. */
async function importKey(jwk: JWK, algorithm: string): Promise<CryptoKey | null> {
  try {
    const key = await importJWK(jwk, algorithm);
    return key instanceof CryptoKey ? key : null;
  } catch {
    return null;
  }
}
