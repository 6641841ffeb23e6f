/** One key set of the Authority: checked, indexed, and its keys imported once each. */
import { createLocalJWKSet, errors, type JSONWebKeySet } from 'jose';

export interface AuthorityKeySet {
  /** The key for this `alg` and `kid`; null where there is none, or more than one without a `kid` to tell them apart. */
  find(algorithm: string, keyId: string | null): Promise<CryptoKey | null>;
}

const MAX_KEYS = 100;

/**
 * Makes a key set of a JWKS document (RFC 7517 §5). Throws an Error that says what is wrong with the document: no
 * JSON, no `keys`, none that can verify, or more than 100.
 */
export function parseKeySet(json: string): AuthorityKeySet {
  let document: unknown;
  try {
    document = JSON.parse(json);
  } catch {
    throw new Error('The key set is not JSON.');
  }
  const keys = (document as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(keys)) throw new Error('The key set has no array "keys".');
  const usable = keys.filter((key) => typeof key === 'object' && key !== null && isSignatureKey(key));
  if (usable.length === 0) throw new Error('The key set holds no public signature key.');
  if (usable.length > MAX_KEYS) throw new Error(`The key set holds more than ${MAX_KEYS} keys.`);
  const select = createLocalJWKSet({ keys: usable } as JSONWebKeySet);
  return {
    async find(algorithm, keyId) {
      try {
        const key = await select({ alg: algorithm, ...(keyId === null ? {} : { kid: keyId }) });
        return key instanceof CryptoKey ? key : null;
      } catch (cause) {
        if (cause instanceof errors.JOSEError) return null;
        // A key in the set that cannot be imported is no key: DOMException or TypeError.
        if (cause instanceof TypeError || cause instanceof DOMException) return null;
        throw cause;
      }
    },
  };
}

/** The members that make a public key of each type (RFC 7518 §6, RFC 8037 §2): a key without them is none. */
const keyMembers = new Map<unknown, readonly string[]>([
  ['RSA', ['n', 'e']],
  ['EC', ['crv', 'x', 'y']],
  ['OKP', ['crv', 'x']],
]);

function isSignatureKey(key: Readonly<Record<string, unknown>>): boolean {
  const members = keyMembers.get(key.kty);
  if (members === undefined || !(key.use === undefined || key.use === 'sig')) return false;
  return members.every((member) => typeof key[member] === 'string');
}
