/** What each reason means and how to fix it, for people: etc/README.md prints it (`bun run schema`). */
import type { Reason } from './refusal.ts';

export interface ReasonText {
  readonly meaning: string;
  readonly mend: string;
}

export const reasonTexts: Readonly<Record<Reason, ReasonText>> = {
  'malformed-request': {
    meaning:
      '`service` is missing, repeated or not printable ASCII, or the body is not a form (413 too large, 415 another media type).',
    mend: 'Send `service` once. Send a POST as `application/x-www-form-urlencoded` in UTF-8.',
  },
  'malformed-scope': {
    meaning:
      'A `scope` does not follow the grammar `type:name:action[,action…]`, or asks for more than 64 resources, or for more than 100 actions on one.',
    mend: 'Read `detail`: it quotes the scope. Repository names are lower-case.',
  },
  'service-not-allowed': {
    meaning: 'The client asked for a `service` that is not in `registry.allowedServices`.',
    mend: "Make the registry's `auth.token.service` one of `registry.allowedServices`.",
  },
  'credentials-missing': {
    meaning:
      'The request has no credentials. Every client sends one such request first, so a few are normal.',
    mend: 'Log in, or give the client a credential helper. For public pulls set `anonymousPlan`.',
  },
  'credentials-ambiguous': {
    meaning:
      'The OpTok came in two ways, a header was repeated, a proof came with `Basic` or a form, or a form has a `password` without `grant_type=password`.',
    mend: 'Send one credential. A proof goes with `Authorization: DPoP` or `Bearer` only.',
  },
  'token-malformed': {
    meaning: 'The OpTok is not a compact JWS, or has a header parameter that is not understood (`crit`).',
    mend: 'Check that the client sends an access token in JWT form, whole, and not a password, an ID or an opaque token.',
  },
  'token-type': {
    meaning: "The `typ` of the OpTok's header is not in `authority.tokenTypes`.",
    mend: 'Let the Authority issue `at+jwt` (RFC 9068), or add its type to `authority.tokenTypes`.',
  },
  'token-algorithm': {
    meaning: "The `alg` of the OpTok's header is not in `authority.algorithms`.",
    mend: 'Add the algorithm, or change the one that the Authority signs with.',
  },
  'token-key-unknown': {
    meaning: "The OpTok's `kid` and `alg` match no key of the Authority.",
    mend: 'With `jwksPath`: copy the current key set there. Otherwise check `authority.issuer`; new keys are fetched within 30 s.',
  },
  'token-signature': {
    meaning: "The OpTok's signature does not verify with the Authority's key.",
    mend: 'The OpTok was altered, or two servers use one `kid` for different keys. Find out who sent it.',
  },
  'token-issuer': {
    meaning: 'The `iss` of the OpTok is not the configured issuer.',
    mend: 'Make `authority.issuer` equal to `iss`, character by character; mind a final slash.',
  },
  'token-audience': {
    meaning: 'The `aud` of the OpTok has none of `authority.audiences`.',
    mend: 'Let the client ask for the right audience or resource, or correct `authority.audiences`.',
  },
  'token-expired': {
    meaning: 'The OpTok has expired.',
    mend: 'Get a new one. If all clients are affected, compare the clocks (NTP).',
  },
  'token-not-yet-valid': {
    meaning: "The OpTok's `nbf` or `iat` is in the future by more than `authority.clockSkew`.",
    mend: 'Set the clocks of this machine and of the Authority (NTP).',
  },
  'token-claims': {
    meaning: 'A claim is missing or of the wrong type: `exp`, `sub`, `cnf`.',
    mend: 'Read `detail` in the log: it names the claim. Correct the mapping at the Authority.',
  },
  'token-scope': {
    meaning: 'The OpTok lacks a scope of `authority.requiredScopes`.',
    mend: 'Let the client request that scope and the Authority grant it, or change `requiredScopes`.',
  },
  'token-unbound': {
    meaning: 'The OpTok is not bound to a key or certificate in a way that is accepted (`cnf`).',
    mend: 'Let the Authority bind tokens by DPoP or mTLS. Bearer tokens pass only if `accept` lists `none`.',
  },
  'proof-missing': {
    meaning: 'The OpTok is bound by DPoP and the request has no `DPoP` header.',
    mend: 'Use a client that makes proofs: `registry-token token` or `registry-token agent`.',
  },
  'proof-malformed': {
    meaning: 'The `DPoP` header is not one compact JWS, or a claim is missing or of the wrong type.',
    mend: 'Correct the client (RFC 9449, section 4.2).',
  },
  'proof-type': {
    meaning: 'The `typ` of the proof is not `dpop+jwt`.',
    mend: 'Correct the client.',
  },
  'proof-algorithm': {
    meaning: 'The `alg` of the proof is not in `senderConstraint.dpop.algorithms`.',
    mend: 'Use a P-256 key (ES256), or add the algorithm.',
  },
  'proof-key': {
    meaning: 'The `jwk` of the proof is missing, private, or no key for its `alg`.',
    mend: 'Correct the client: the header carries the public key.',
  },
  'proof-signature': {
    meaning: "The proof's signature does not verify with its `jwk`.",
    mend: 'Correct the client; the proof was altered or signed by another key.',
  },
  'proof-method': {
    meaning: 'The `htm` of the proof is not the method of the request.',
    mend: 'Sign `GET` for a GET and `POST` for a POST.',
  },
  'proof-url': {
    meaning: 'The `htu` of the proof is not one of `registry.realm`.',
    mend: 'Add the URL that clients use to `registry.realm`, or correct the client: `htu` has no query.',
  },
  'proof-time': {
    meaning: 'The proof is too old or dated in the future.',
    mend: "Make a new proof for each request. If it persists, set the client's clock (NTP).",
  },
  'proof-token-hash': {
    meaning: 'The `ath` of the proof belongs to another OpTok.',
    mend: 'Make the proof for the OpTok that is sent: `dpop-proof --access-token`.',
  },
  'proof-binding': {
    meaning:
      'The proof was signed by another key than the one that the OpTok is bound to, or the OpTok is not bound by DPoP.',
    mend: 'Use the key with which the OpTok was obtained. If nobody changed keys, treat the OpTok as stolen.',
  },
  'proof-nonce': {
    meaning:
      'The proof needs a nonce of the service: nonces are required, or the proof is dated before a restart. The answer carries the nonce.',
    mend: 'Nothing: clients repeat the request with the nonce. On several nodes set one `nonceSecretPath`.',
  },
  'proof-replayed': {
    meaning: 'The proof was used before.',
    mend: 'Make a new proof for each request. From an unknown address: someone is repeating captured requests.',
  },
  'certificate-missing': {
    meaning: 'The OpTok is bound to a certificate, and no client certificate arrived.',
    mend: 'Give the client its certificate (`certs.d`). Behind a proxy: the proxy must ask for it and pass it on, and be in `server.trustedProxies`.',
  },
  'certificate-binding': {
    meaning: 'The client certificate is not the one that the OpTok is bound to.',
    mend: 'Get a new OpTok with the certificate in use; a renewed certificate needs one.',
  },
  'certificate-untrusted': {
    meaning:
      'The client certificate cannot be read, has expired, does not chain to `server.tls.clientCaPath`, has an RSA key under 2048 bits, or came in a header from an address that is not in `server.trustedProxies`.',
    mend: 'Read `detail` in the log. Use a certificate of that CA, or add its CA to the file. Behind a proxy check `server.trustedProxies` and the format of `server.clientCertificateHeader`.',
  },
  'license-revoked': {
    meaning: 'The licence in the OpTok is in the revocation list.',
    mend: 'Intended. Otherwise take it out of `revokedLicenses` or of the file `revokedLicensesPath`.',
  },
  'plan-missing': {
    meaning: 'The OpTok names no plan and there is no `defaultPlan`.',
    mend: 'Set `defaultPlan`, or let the Authority send the claim `authority.claims.plan`.',
  },
  'plan-unknown': {
    meaning: 'The OpTok names a plan that is not configured.',
    mend: 'Add the plan, or correct the claim.',
  },
  'plan-denied': {
    meaning: 'The plan does not allow everything that was asked for.',
    mend: 'Run `registry-token explain` with the plan and the scope: it names the nearest rule.',
  },
  'rate-limited': {
    meaning:
      'One subject (or one address without credentials) sent more requests than `limits.perSubject` allows.',
    mend: 'Wait for `Retry-After`, or raise the limit.',
  },
  'authority-unavailable': {
    meaning: "The Authority's keys could not be fetched yet.",
    mend: 'Run `registry-token check`: it says why. It recovers without a restart.',
  },
  'replay-unavailable': {
    meaning: 'The replay store (Redis) does not answer, or may forget entries.',
    mend: 'Look at `/readyz` and at Redis. It recovers without a restart.',
  },
  'replay-full': {
    meaning: 'The memory of used proofs is full.',
    mend: 'Raise `senderConstraint.replay.capacity`, shorten `maxAge`, or find out who sends so many proofs.',
  },
  overloaded: {
    meaning:
      'More requests arrive than the service can answer, or more are in flight than `limits.inFlight` allows.',
    mend: 'Some clients retry by themselves. If it lasts: raise `server.workers`, the number of nodes, or the limit.',
  },
  'entitlements-expired': {
    meaning: 'The bundle of entitlements has expired.',
    mend: 'Install the current bundle of the vendor.',
  },
  internal: {
    meaning: 'A fault of the service itself.',
    mend: 'The log has the exact fault under the same `requestId`. Please report it.',
  },
};
