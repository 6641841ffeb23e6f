/** The service joined by hand, without configuration, files or ports: a request in, a response and a decision out. */
import { BlockList } from 'node:net';
import type { AuthenticateOptions } from '../../src/authenticate/authenticate.ts';
import type { VerificationKeys } from '../../src/authenticate/authority-keys.ts';
import type { DpopOptions } from '../../src/authenticate/dpop-proof.ts';
import { createNonces, type Nonces } from '../../src/authenticate/nonce.ts';
import type { Authorities, Authority, OpTokOptions } from '../../src/authenticate/op-tok.ts';
import type { RateLimits } from '../../src/authenticate/rate-limits.ts';
import type { UsedProofs } from '../../src/authenticate/replay-store.ts';
import { Signatures } from '../../src/authenticate/signatures.ts';
import { createFileAuthorityKeys } from '../../src/authority/file-authority-keys.ts';
import type { ClaimRules, Plan, Policy } from '../../src/authorize/policy.ts';
import { createEndpoints, type EndpointParts, type FailingPart, type Handle } from '../../src/endpoints.ts';
import type { Signer } from '../../src/issue/signer.ts';
import { openSigningKey, type SigningKey } from '../../src/keys/signing-key.ts';
import { RunQueue } from '../../src/limit/run-queue.ts';
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts';
import type { ClientConnection } from '../../src/request/client-connection.ts';
import type { ForwardedOptions } from '../../src/request/forwarded.ts';
import type { Decision, ServiceParts } from '../../src/service.ts';
import { createKey, type TestKey } from './keys.ts';
import {
  AUDIENCE,
  ISSUER,
  type Overrides,
  opTokMembers,
  proofMembers,
  REALM,
  SERVICE,
  signWith,
} from './tokens.ts';

export const NOW = 1_800_000_000;
export const SIGNING_ISSUER = 'registry-token.example.com';
export const MAX_AGE = 60;
export const SKEW = 30;

export interface HarnessOptions {
  /** Of the Authority that is called default. */
  readonly opTok?: Partial<OpTokOptions>;
  readonly moreAuthorities?: readonly Authority[];
  /** In place of all of them. */
  readonly authorities?: Authorities;
  readonly dpop?: Partial<DpopOptions>;
  readonly accept?: OpTokOptions['accept'];
  readonly policy?: Partial<Policy>;
  readonly anonymous?: AuthenticateOptions['anonymous'];
  readonly allowedServices?: readonly string[] | null;
  readonly queue?: RunQueue;
  readonly replayStore?: UsedProofs;
  readonly rateLimits?: RateLimits;
  readonly authorityKeys?: VerificationKeys;
  readonly authorityKey?: TestKey;
  readonly clientKey?: TestKey;
  readonly signer?: Signer;
  readonly failingParts?: readonly FailingPart[];
  readonly forwarded?: ForwardedOptions;
  readonly nonces?: Nonces;
  readonly audience?: string;
}

export interface Harness {
  readonly handle: Handle;
  /** Puts other parts in force, as a reload does. */
  readonly reconfigure: (change: Partial<ServiceParts>) => void;
  /** The usual policy, changed. */
  readonly policy: (change: Partial<Policy>) => Policy;
  /** Of every request to the token endpoint, in the order of the answers. */
  readonly decisions: Decision[];
  /** Epoch seconds; may be set. */
  readonly clock: { now: number };
  readonly authorityKey: TestKey;
  readonly clientKey: TestKey;
  readonly signingKey: SigningKey;
  /** An OpTok of the Authority, bound to the client's key. */
  readonly opTok: (overrides?: Overrides) => string;
  /** The client's proof for an OpTok and a GET. */
  readonly proof: (opTok: string, overrides?: Overrides) => string;
}

const RESTART_SECRET = Buffer.alloc(32, 'restart');

export async function createHarness(options: HarnessOptions = {}): Promise<Harness> {
  const clock = { now: NOW };
  const authorityKey = options.authorityKey ?? (await createKey('ES256'));
  const clientKey = options.clientKey ?? (await createKey('ES256'));
  const signingKey = await createSigningKey('ES256');
  const decisions: Decision[] = [];
  let parts: EndpointParts = {
    tokenPaths: new Set(['/token', '/auth/token']),
    jwks: { keys: [signingKey.publicJwk] },
    failingParts: async () => options.failingParts ?? [],
    exposeMetrics: async () => 'registry_token_replay_entries 0\n',
    service: {
      usableUntil: Number.POSITIVE_INFINITY,
      generation: 1,
      clock: () => clock.now,
      request: {
        allowedServices: allowedServices(options.allowedServices),
        forwarded: options.forwarded ?? {
          trustedProxies: new BlockList(),
          certificateHeader: { name: 'Client-Cert', format: 'rfc9440' },
          addressHeader: 'X-Forwarded-For',
        },
      },
      queue: options.queue ?? new RunQueue(Number.POSITIVE_INFINITY),
      authenticate: {
        options: authenticateOptions(options),
        authorities: options.authorities ?? authoritiesOf(options, authorityKey),
        signatures: new Signatures(),
        replayStore: options.replayStore ?? MemoryReplayStore.create(1000, NOW - 86_400),
        rateLimits: options.rateLimits ?? null,
        nonces: options.nonces ?? null,
        restartNonces: createNonces(() => RESTART_SECRET),
      },
      policy: { ...defaultPolicy(), ...options.policy },
      signer: options.signer ?? signingKey,
      issue: { issuer: SIGNING_ISSUER, audience: options.audience ?? null },
      challenge: { realm: SIGNING_ISSUER, dpopAlgorithms: ['ES256', 'EdDSA'] },
      record: (decision) => decisions.push(decision),
    },
  };
  return {
    handle: createEndpoints(() => parts),
    reconfigure: (change) => {
      const { generation } = parts.service;
      parts = { ...parts, service: { ...parts.service, generation: generation + 1, ...change } };
    },
    policy: (change) => ({ ...defaultPolicy(), ...change }),
    decisions,
    clock,
    authorityKey,
    clientKey,
    signingKey,
    opTok: (overrides = {}) =>
      signWith(opTokMembers(authorityKey, clientKey, clock.now), authorityKey, overrides),
    proof: (opTok, overrides = {}) =>
      signWith(proofMembers(clientKey, opTok, clock.now), clientKey, overrides),
  };
}

/** The key set of the Authority with these keys, each under its thumbprint. */
export function authorityKeysOf(...keys: readonly TestKey[]): VerificationKeys {
  const published = keys.map(({ publicJwk, thumbprint }) => ({ ...publicJwk, kid: thumbprint, use: 'sig' }));
  return createFileAuthorityKeys(JSON.stringify({ keys: published }));
}

export async function createSigningKey(
  algorithm: 'ES256' | 'ES384' | 'EdDSA' | 'RS256',
  certificates: string | null = null,
): Promise<SigningKey> {
  const { privateKey } = await createKey(algorithm);
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return openSigningKey({ key, password: null, certificates, keyId: 'thumbprint' }, NOW);
}

export function createPlan(
  name: string,
  rules: readonly (readonly [pattern: string, actions: readonly string[]])[],
  more: Partial<Plan> = {},
): Plan {
  const parsed = rules.map(([pattern, actions], index) => ({ index, pattern, actions }));
  return { name, catalog: false, lifetime: null, rules: parsed, ...more };
}

export function defaultPolicy(): Policy {
  const community = createPlan('community', [['public/**', ['pull']]]);
  const enterprise = createPlan(
    'enterprise',
    [
      ['team-*/**', ['pull', 'push']],
      ['customers/{claim:tid}/*', ['pull', 'push', 'delete']],
      ['admin/*', ['*']],
    ],
    { catalog: true, lifetime: 900 },
  );
  return {
    plans: new Map([community, enterprise].map((plan) => [plan.name, plan])),
    defaultPlan: 'community',
    anonymousPlan: null,
    revokedLicenses: new Set(['LIC-REVOKED']),
    grant: 'strict',
    claimRules: new Map([['default', claimRules()]]),
    lifetime: 300,
  };
}

export function claimRules(more: Partial<ClaimRules> = {}): ClaimRules {
  const claims = { plan: ['stellaops:plan'], license: ['stellaops:license'] } as const;
  return { ...claims, named: new Map(), planRules: [], ...more };
}

export const noCertificate: ClientConnection = { address: '192.0.2.7', certificate: null };

export function withCertificate(der: Uint8Array, trusted = true): ClientConnection {
  return { address: '192.0.2.7', certificate: { der, trusted } };
}

function allowedServices(services: readonly string[] | null | undefined): ReadonlySet<string> | null {
  return services === null ? null : new Set(services ?? [SERVICE]);
}

const ALGORITHMS = ['ES256', 'ES384', 'EdDSA', 'PS256', 'RS256'];

function authenticateOptions({ anonymous, dpop }: HarnessOptions): AuthenticateOptions {
  return {
    dpop: {
      algorithms: ALGORITHMS,
      maxAge: MAX_AGE,
      clockSkew: SKEW,
      realms: new Set([REALM]),
      bearerScheme: 'accept',
      ...dpop,
    },
    anonymous: anonymous ?? 'refuse',
  };
}

function authoritiesOf(
  { opTok, accept, authorityKeys, moreAuthorities = [] }: HarnessOptions,
  key: TestKey,
): Authorities {
  const only = authorityOf(authorityKeys ?? authorityKeysOf(key), {
    ...opTok,
    ...(accept === undefined ? {} : { accept }),
  });
  return new Map([only, ...moreAuthorities].map((authority) => [authority.issuer, authority]));
}

/** The Authority of the tests, but for what is given. */
export function authorityOf(keys: VerificationKeys, more: Partial<Authority> = {}): Authority {
  const name = more.name ?? 'default';
  return {
    name,
    place: name === 'default' ? 'authority' : `authorities.${name}`,
    keys,
    issuer: ISSUER,
    audiences: [AUDIENCE],
    requiredScopes: ['registry.token.issue'],
    algorithms: ALGORITHMS,
    tokenTypes: ['at+jwt'],
    subjectClaim: ['sub'],
    accept: ['dpop', 'mtls'],
    clockSkew: SKEW,
    ...more,
  };
}
