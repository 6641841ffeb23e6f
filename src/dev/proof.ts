/** The development Authority's view of a DPoP proof (RFC 9449 §4.3 and §5): verified in full, replay included. */
import { calculateJwkThumbprint, decodeProtectedHeader, EmbeddedJWK, type JWTPayload, jwtVerify } from 'jose';
import { OAuthRefusal } from './oauth-refusal.ts';

export const proofAlgorithms = ['ES256', 'EdDSA', 'PS256', 'RS256'];

/** Seconds that a proof is good for, and that a client's clock may be ahead. */
const MAX_AGE = 60;
const CLOCK_SKEW = 30;

const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'];

/** Remembers the proofs that were used, while they could be used again. Times in epoch seconds. */
export class UsedProofs {
  readonly #deadlines = new Map<string, number>();

  /** Records a proof; false where it was there before. */
  insert(key: string, deadline: number, now: number): boolean {
    for (const [known, end] of this.#deadlines) if (end < now) this.#deadlines.delete(known);
    if (this.#deadlines.has(key)) return false;
    this.#deadlines.set(key, deadline);
    return true;
  }
}

/**
 * Verifies the proof of a POST to `url` and returns the RFC 7638 thumbprint of its key. No nonce is asked for, and
 * there is no access token yet whose `ath` could be checked. `now` in epoch seconds. Throws OAuthRefusal.
 */
export async function verifyProof(
  proof: string | null,
  url: string,
  used: UsedProofs,
  now: number,
): Promise<string> {
  if (proof === null)
    throw new OAuthRefusal(
      'invalid_dpop_proof',
      'The header DPoP is missing: tokens here are bound to a key.',
    );
  const { claims, thumbprint } = await verifySignature(proof, now);
  const { htm, htu, iat, jti } = claims;
  if (htm !== 'POST') throw refused('htm is not POST');
  if (typeof htu !== 'string' || withoutQuery(htu) !== url) throw refused(`htu is not ${url}`);
  if (typeof iat !== 'number') throw refused('iat is missing');
  if (iat < now - MAX_AGE) throw refused(`it is older than ${MAX_AGE} s`);
  if (iat > now + CLOCK_SKEW) throw refused('iat lies ahead');
  if (typeof jti !== 'string' || jti === '' || jti.length > 256)
    throw refused('jti is not 1 to 256 characters');
  if (!used.insert(`${thumbprint} ${jti}`, iat + MAX_AGE, now)) throw refused('it was used before');
  return thumbprint;
}

async function verifySignature(
  proof: string,
  now: number,
): Promise<{ claims: JWTPayload; thumbprint: string }> {
  try {
    const { jwk } = decodeProtectedHeader(proof);
    if (jwk === undefined || PRIVATE_MEMBERS.some((member) => Object.hasOwn(jwk, member)))
      throw refused('jwk is not a public key');
    const { payload } = await jwtVerify(proof, EmbeddedJWK, {
      typ: 'dpop+jwt',
      algorithms: proofAlgorithms,
      currentDate: new Date(now * 1000),
      clockTolerance: CLOCK_SKEW,
    });
    return { claims: payload, thumbprint: await calculateJwkThumbprint(jwk) };
  } catch (cause) {
    if (cause instanceof OAuthRefusal) throw cause;
    // A malformed key makes jose throw errors of other kinds than its own.
    throw refused('it is no dpop+jwt, or its signature does not verify');
  }
}

/** RFC 9449 §4.3: query and fragment take no part. */
function withoutQuery(text: string): string | null {
  const url = URL.parse(text);
  return url === null ? null : `${url.origin}${url.pathname}`;
}

function refused(fault: string): OAuthRefusal {
  return new OAuthRefusal('invalid_dpop_proof', `The DPoP proof is not good: ${fault}.`);
}
