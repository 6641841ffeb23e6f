/** The configuration: every key, its kind, its default. */
import { z } from 'zod';
import { LARGEST_CLOCK_SKEW, LARGEST_MAX_AGE } from '../authenticate/dpop-proof.ts';
import { findPatternFault } from '../authorize/pattern.ts';
import {
  certificateHeader,
  duration,
  httpUrl,
  ipNetwork,
  listenAddress,
  rate,
  redisUrl,
  telemetryAddress,
} from './values.ts';

const text = z.string().min(1, { error: 'must not be empty' });
const path = text;
const actions = z
  .array(z.string().regex(/^(?:[a-z]+|\*)$/, { error: 'must be lower-case letters, or *' }))
  .min(1);

/** Asymmetric algorithms of JOSE; `none` and the symmetric ones are not among them. */
const verificationAlgorithm = z.enum([
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
  'PS256',
  'PS384',
  'PS512',
  'RS256',
  'RS384',
  'RS512',
]);
const verificationAlgorithms = z
  .array(verificationAlgorithm)
  .min(1)
  .default(['ES256', 'EdDSA', 'PS256', 'RS256']);

const server = z.strictObject({
  listen: listenAddress().default({ host: '127.0.0.1', port: 8085 }),
  workers: z
    .union([z.int().min(1).max(256), z.literal('auto')], { error: 'must be a number from 1 to 256, or auto' })
    .default(1),
  tls: z.strictObject({ certPath: path, keyPath: path, clientCaPath: path.optional() }).optional(),
  trustedProxies: z.array(ipNetwork()).default([]),
  clientCertificateHeader: certificateHeader().prefault('Client-Cert'),
  forwardedHeader: z.enum(['X-Forwarded-For', 'Forwarded']).default('X-Forwarded-For'),
  shutdownGrace: duration(0, 3600).default(10),
});

/** A top-level claim, or the names of the objects that lead to one. */
const claim = z.union([text, z.tuple([text], text)], {
  error: 'must be the name of a claim, or a list of names that lead to it, such as [realm_access, roles]',
});

/** The name of a claim where rules and patterns mention it. */
const claimName = text.regex(/^[^{}|]+$/, { error: 'must not hold braces or |' });

/** It is compared as text, and YAML reads a longer integer as the nearest one that it can hold. */
const exactNumber = z.number().refine((value) => !Number.isInteger(value) || Number.isSafeInteger(value), {
  error: 'must be in quotes: the integer is too large to be read exactly',
});
const conditionValue = z.union([text, exactNumber, z.boolean()], {
  error: 'must be text, a number, true or false, or a list of these',
});
const condition = z
  .union([conditionValue, z.array(conditionValue).min(1)], {
    error: 'must be text, a number, true or false, or a list of these',
  })
  .transform((value) => (Array.isArray(value) ? value : [value]).map(String));

const planRule = z.strictObject({ when: z.record(claimName, condition), plan: text });

const accept = z.array(z.enum(['dpop', 'mtls', 'none'])).min(1);

const authority = z.strictObject({
  issuer: httpUrl(),
  metadataUrl: httpUrl().optional(),
  jwksPath: path.optional(),
  caPath: path.optional(),
  audiences: z.array(text).min(1),
  requiredScopes: z
    .array(text.regex(/^\S+$/, { error: 'must not hold spaces' }))
    .default(['registry.token.issue']),
  algorithms: verificationAlgorithms,
  tokenTypes: z.array(text).min(1).default(['at+jwt']),
  clockSkew: duration(0, LARGEST_CLOCK_SKEW).default(30),
  claims: z
    .strictObject({
      subject: claim.default('sub'),
      plan: claim.default('stellaops:plan'),
      license: claim.default('stellaops:license'),
      named: z.record(claimName, claim).default({}),
    })
    .prefault({}),
  accept: accept.optional(),
  keysMaxAge: duration(10, 86_400).default(300),
  planRules: z.array(planRule).default([]),
});

const authorityName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, {
  error: 'use 1 to 64 letters, digits, _ and -',
});

const senderConstraint = z.strictObject({
  accept: accept.default(['dpop', 'mtls']),
  dpop: z
    .strictObject({
      algorithms: verificationAlgorithms,
      maxAge: duration(1, LARGEST_MAX_AGE).default(60),
      nonce: z.enum(['off', 'required']).default('off'),
      nonceSecretPath: path.optional(),
      bearerScheme: z.enum(['accept', 'refuse']).default('accept'),
    })
    .prefault({}),
  replay: z
    .strictObject({
      store: z.enum(['memory', 'redis']).default('memory'),
      capacity: z.int().min(1000).max(50_000_000).default(1_000_000),
      statePath: path.optional(),
      url: redisUrl().optional(),
      sentinels: z.array(listenAddress()).min(1).optional(),
      master: text.optional(),
      cluster: z.array(listenAddress()).min(1).optional(),
      passwordPath: path.optional(),
      caPath: path.optional(),
      minReplicas: z.int().min(0).max(10).optional(),
    })
    .prefault({}),
});

const signing = z.strictObject({
  issuer: text,
  audience: text.optional(),
  keyPath: path,
  keyPassword: z.string().optional(),
  keyPasswordPath: path.optional(),
  certificatePath: path.optional(),
  keyId: text.default('thumbprint'),
  lifetime: duration(1, 3600).default(300),
  additionalKeys: z.array(path).default([]),
});

const registry = z.strictObject({
  realm: z
    .union([httpUrl(), z.array(httpUrl()).min(1)], {
      error: 'must be an http or https URL without user name and password, or a list of them',
    })
    .transform((realm) => (typeof realm === 'string' ? [realm] : realm)),
  allowedServices: z.array(text).min(1).optional(),
  grant: z.enum(['strict', 'intersection']).default('strict'),
});

/** One entry of a plan's `repositories`. */
const repositoryRule = z.strictObject({
  pattern: z.string().superRefine((source, context) => {
    const fault = findPatternFault(source);
    if (fault !== null) context.addIssue({ code: 'custom', message: fault });
  }),
  actions: actions.default(['pull']),
});

export const planSchema = z.strictObject({
  catalog: z.boolean().default(false),
  lifetime: duration(1, 3600).optional(),
  repositories: z.array(repositoryRule).default([]),
});

export const planName = z
  .string()
  .regex(/^[\x21-\x7e]{1,64}$/, { error: 'use 1 to 64 printable ASCII characters without spaces' });

/** The plans by name: those of the configuration, and of the file that `plansPath` names. */
export const plansSchema = z.record(planName, planSchema);
export type Plans = z.output<typeof plansSchema>;

/** What every bundle of entitlements is for. */
export const ANY_SITE = '*';

const entitlements = z.strictObject({
  path,
  keysPath: path,
  site: text
    .refine((name) => name !== ANY_SITE, { error: 'must be the name of this site; * is for bundles' })
    .optional(),
  maxAge: duration(3600, 10 * 365 * 86_400).optional(),
  onExpiry: z.enum(['keep', 'deny']).default('keep'),
  localPlans: z.enum(['ignore', 'allow']).default('ignore'),
  statePath: path.optional(),
});

export const configurationSchema = z.strictObject({
  server: server.prefault({}),
  // One of the two: `findContradictions` looks.
  authority: authority.optional(),
  authorities: z.record(authorityName, authority).optional(),
  senderConstraint: senderConstraint.prefault({}),
  signing,
  registry,
  plans: plansSchema.default({}),
  defaultPlan: text.optional(),
  anonymousPlan: text.optional(),
  revokedLicenses: z.array(text).default([]),
  revokedLicensesPath: path.optional(),
  plansPath: path.optional(),
  entitlements: entitlements.optional(),
  limits: z.strictObject({ perSubject: rate().optional(), inFlight: z.int().min(1).optional() }).optional(),
  telemetry: z.strictObject({ listen: telemetryAddress(), console: z.boolean().default(false) }).optional(),
  logging: z
    .strictObject({
      level: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
      format: z.enum(['json', 'pretty', 'auto']).default('auto'),
      auditPath: path.optional(),
    })
    .prefault({}),
});

/** The configuration, with the plans of `plansPath`: plain values that can be cloned into another thread. */
export interface Configuration extends Omit<z.output<typeof configurationSchema>, 'plans'> {
  /** In the order of the file, then of `plansPath`. */
  readonly plans: ReadonlyMap<string, Plans[string]>;
}

/** Keys whose values no message may show. */
export const secretKeys: ReadonlySet<string> = new Set([
  'signing.keyPassword',
  'signing.keyPasswordPath',
  'senderConstraint.replay.url',
  'senderConstraint.replay.passwordPath',
]);

export type AuthoritySettings = z.output<typeof authority>;
export type EntitlementsSettings = z.output<typeof entitlements>;

/** An Authority of the configuration. */
export interface NamedAuthority {
  readonly name: string;
  /** Where it is: `authority`, or `authorities` and its name. */
  readonly path: readonly string[];
  readonly settings: AuthoritySettings;
}

/** The name of the Authority of `authority`, the short form of one. */
const ONLY_AUTHORITY = 'default';

export function authoritiesOf(
  configuration: Pick<Configuration, 'authority' | 'authorities'>,
): readonly NamedAuthority[] {
  const { authority: only, authorities = {} } = configuration;
  const several = Object.entries(authorities).map(([name, settings]) => ({
    name,
    path: ['authorities', name],
    settings,
  }));
  return only === undefined
    ? several
    : [{ name: ONLY_AUTHORITY, path: ['authority'], settings: only }, ...several];
}
