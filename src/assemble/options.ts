/** What each step needs of the configuration: the few values, under the step's own names. */
import { BlockList } from 'node:net';
import type { AuthenticateOptions } from '../authenticate/authenticate.ts';
import type { VerificationKeys } from '../authenticate/authority-keys.ts';
import type { ClaimPath } from '../authenticate/claim-path.ts';
import type { Authorities, Authority, Constraint, OpTokOptions } from '../authenticate/op-tok.ts';
import type { RateLimits } from '../authenticate/rate-limits.ts';
import { normalizeUrl } from '../authenticate/url.ts';
import { metadataUrlsOf } from '../authority/discovery.ts';
import type { ClaimRules, Policy } from '../authorize/policy.ts';
import { policyPlans } from '../config/policy-plans.ts';
import { type AuthoritySettings, authoritiesOf, type Configuration } from '../config/schema.ts';
import { createRateLimits } from '../limit/rate-limits.ts';
import type { RateTable } from '../limit/rate-table.ts';
import type { TokenRequestOptions } from '../request/token-request.ts';
import type { ChallengeOptions } from '../respond/render-refusal.ts';

export function authenticateOptions(configuration: Configuration): AuthenticateOptions {
  const { senderConstraint, registry } = configuration;
  const { dpop } = senderConstraint;
  return {
    anonymous: configuration.anonymousPlan === undefined ? 'refuse' : 'accept',
    dpop: {
      algorithms: withBothNames(dpop.algorithms),
      maxAge: dpop.maxAge,
      clockSkew: largestClockSkew(configuration),
      realms: new Set(registry.realm.map(normalizeUrl).filter((url) => url !== null)),
      bearerScheme: dpop.bearerScheme,
    },
  };
}

export function largestClockSkew(configuration: Configuration): number {
  return Math.max(...authoritiesOf(configuration).map(({ settings }) => settings.clockSkew));
}

/** The Authorities by their issuers; `keys` has the keys of each, by its name. */
export function createAuthorities(
  configuration: Configuration,
  keys: ReadonlyMap<string, VerificationKeys>,
): Authorities {
  return new Map(
    authoritiesOf(configuration).map(({ name, path, settings }): [string, Authority] => {
      const own = keys.get(name);
      if (own === undefined) throw new Error(`no keys of the Authority ${name}`);
      return [
        settings.issuer,
        { name, place: path.join('.'), keys: own, ...opTokOptions(settings, configuration) },
      ];
    }),
  );
}

function opTokOptions(settings: AuthoritySettings, { senderConstraint }: Configuration): OpTokOptions {
  return {
    issuer: settings.issuer,
    audiences: settings.audiences,
    requiredScopes: settings.requiredScopes,
    algorithms: withBothNames(settings.algorithms),
    tokenTypes: settings.tokenTypes.map((type) => type.toLowerCase().replace(/^application\//, '')),
    subjectClaim: claimPath(settings.claims.subject),
    accept: acceptedBy(settings, senderConstraint),
    clockSkew: settings.clockSkew,
  };
}

/** How the senders of an Authority's OpToks may be bound. */
export function acceptedBy(
  settings: AuthoritySettings,
  senderConstraint: Configuration['senderConstraint'],
): readonly Constraint[] {
  return settings.accept ?? senderConstraint.accept;
}

function claimPath(claim: string | ClaimPath): ClaimPath {
  return typeof claim === 'string' ? [claim] : claim;
}

/** RFC 9864 calls Ed25519 what RFC 8037 called EdDSA; clients send either. */
function withBothNames(algorithms: readonly string[]): readonly string[] {
  const names = ['EdDSA', 'Ed25519'];
  if (!algorithms.some((algorithm) => names.includes(algorithm))) return algorithms;
  return [...algorithms, ...names.filter((name) => !algorithms.includes(name))];
}

/** `listed`: the licences of the list file and of the bundle, beside those of the configuration itself. */
export function createPolicy(
  configuration: Configuration,
  ...listed: readonly ReadonlySet<string>[]
): Policy {
  const revoked = [new Set(configuration.revokedLicenses), ...listed];
  return {
    plans: policyPlans(configuration.plans),
    defaultPlan: configuration.defaultPlan ?? null,
    anonymousPlan: configuration.anonymousPlan ?? null,
    revokedLicenses: {
      has: (license) => revoked.some((licenses) => licenses.has(license)),
      size: countOnce(revoked),
    },
    grant: configuration.registry.grant,
    claimRules: new Map(
      authoritiesOf(configuration).map(({ name, settings }) => [name, claimRules(settings)]),
    ),
    lifetime: configuration.signing.lifetime,
  };
}

/** How many licences these sets have together. */
function countOnce(sets: readonly ReadonlySet<string>[]): number {
  const [largest = new Set<string>(), ...others] = sets.toSorted((a, b) => b.size - a.size);
  const counted = new Set<string>();
  for (const set of others) for (const license of set) if (!largest.has(license)) counted.add(license);
  return largest.size + counted.size;
}

function claimRules({ claims, planRules }: AuthoritySettings): ClaimRules {
  return {
    plan: claimPath(claims.plan),
    license: claimPath(claims.license),
    named: new Map(Object.entries(claims.named).map(([name, claim]) => [name, claimPath(claim)])),
    planRules: planRules.map(({ when, plan }) => ({
      conditions: Object.entries(when).map(([name, patterns]) => ({ name, patterns })),
      plan,
    })),
  };
}

/** null where nothing is limited. */
export function rateLimits({ limits }: Configuration, table: RateTable): RateLimits | null {
  return limits?.perSubject === undefined ? null : createRateLimits(table, limits.perSubject);
}

export function requestOptions({ server, registry }: Configuration): TokenRequestOptions {
  const trustedProxies = new BlockList();
  for (const network of server.trustedProxies)
    trustedProxies.addSubnet(network.address, network.prefix, network.family);
  return {
    allowedServices: registry.allowedServices === undefined ? null : new Set(registry.allowedServices),
    forwarded: {
      trustedProxies,
      certificateHeader: server.clientCertificateHeader,
      addressHeader: server.forwardedHeader,
    },
  };
}

export function challengeOptions(configuration: Configuration): ChallengeOptions {
  const { signing, senderConstraint } = configuration;
  const accepted = authoritiesOf(configuration).map(({ settings }) => acceptedBy(settings, senderConstraint));
  return {
    realm: signing.issuer,
    dpopAlgorithms: accepted.some((accept) => accept.includes('dpop'))
      ? withBothNames(senderConstraint.dpop.algorithms)
      : [],
  };
}

/** The path of a realm as a request has it. */
export function realmPath(realm: string): string {
  return new URL(realm).pathname;
}

/** Where the Authority's metadata may be, in the order in which it is looked for. */
export function metadataUrls({ issuer, metadataUrl }: AuthoritySettings): readonly [string, ...string[]] {
  return metadataUrl === undefined ? metadataUrlsOf(issuer) : [metadataUrl];
}
