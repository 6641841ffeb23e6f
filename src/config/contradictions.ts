/** Rules between keys. They are reported beside every other mistake, so the values may be of any kind here. */
import type { KeyPath } from '../document/text.ts';
import { isLoopback } from '../platform/loopback.ts';
import { isUnixAddress, parseTelemetryAddress } from './values.ts';

export interface Contradiction {
  readonly path: KeyPath;
  /** What stands there; undefined where the key is missing. */
  readonly input: unknown;
  readonly message: string;
}

/**
 * What contradicts itself in the content of a configuration file. That a value is of a wrong kind is reported elsewhere.
 * `morePlans` are the names of plans that stand in other files; null where those could not be read.
 */
export function findContradictions(input: unknown, morePlans: readonly string[] | null): Contradiction[] {
  return [
    ...findNoPlans(input),
    ...findNoAuthority(input),
    ...findTwins(input),
    ...(morePlans === null ? [] : findUnknownPlans(input, morePlans)),
    ...findTwoPasswords(input),
    ...findReplayTargets(input),
    ...findOpenConsole(input),
  ];
}

function findNoPlans(input: unknown): Contradiction[] {
  if (['plans', 'plansPath', 'entitlements'].some((key) => memberOf(input, key) !== undefined)) return [];
  return [{ path: ['plans'], input: undefined, message: 'is missing; must be a mapping' }];
}

/** Nobody logs in to the console: who reaches it sees every decision. */
function findOpenConsole(input: unknown): Contradiction[] {
  const telemetry = memberOf(input, 'telemetry');
  const listen = memberOf(telemetry, 'listen');
  const isShown = memberOf(telemetry, 'console') === true;
  const address = typeof listen === 'string' ? parseTelemetryAddress(listen) : null;
  if (!isShown || address === null || isUnixAddress(address) || isLoopback(address.host)) return [];
  const message = `needs a telemetry.listen on loopback or a Unix socket, not ${listen}: the console asks nobody to log in; reach it by ssh -L 9095:127.0.0.1:9095`;
  return [{ path: ['telemetry', 'console'], input: true, message }];
}

function findUnknownPlans(input: unknown, morePlans: readonly string[]): Contradiction[] {
  const plans = memberOf(input, 'plans') ?? {};
  if (typeof plans !== 'object' || Array.isArray(plans)) return [];
  const names = new Set([...Object.keys(plans), ...morePlans]);
  const places: KeyPath[] = [['defaultPlan'], ['anonymousPlan'], ...planRulePaths(input)];
  return places.flatMap((path) => {
    const name = valueAt(input, path);
    if (typeof name !== 'string' || name === '' || names.has(name)) return [];
    return [{ path, input: name, message: `must be the name of a plan (${listOf(names)})` }];
  });
}

/** Where each Authority is. */
function authorityPaths(input: unknown): KeyPath[] {
  const authorities = memberOf(input, 'authorities');
  const names = typeof authorities === 'object' && authorities !== null ? Object.keys(authorities) : [];
  return [['authority'], ...names.map((name) => ['authorities', name])];
}

function findNoAuthority(input: unknown): Contradiction[] {
  const [only, several] = [memberOf(input, 'authority'), memberOf(input, 'authorities')];
  if (only !== undefined && several !== undefined)
    return [
      {
        path: ['authority'],
        input: undefined,
        message: 'cannot be combined with authorities: authority is the short form for a single one',
      },
    ];
  if (only === undefined && several === undefined)
    return [{ path: ['authority'], input: undefined, message: 'is missing; must be a mapping' }];
  const isEmpty = typeof several === 'object' && several !== null && Object.keys(several).length === 0;
  return isEmpty ? [{ path: ['authorities'], input: undefined, message: 'is empty; add an Authority' }] : [];
}

/** The token's `iss` selects the Authority: two cannot have the same. */
function findTwins(input: unknown): Contradiction[] {
  const first = new Map<unknown, string>();
  return authorityPaths(input).flatMap((path) => {
    const issuer = memberOf(valueAt(input, path), 'issuer');
    const earlier = first.get(issuer);
    if (earlier === undefined) first.set(issuer, path.join('.'));
    if (earlier === undefined || typeof issuer !== 'string') return [];
    return [
      {
        path: [...path, 'issuer'],
        input: issuer,
        message: `must be unique, because the iss of a token selects the Authority; ${earlier} has the same: put the rules of both into one`,
      },
    ];
  });
}

/** Where plan rules name their plans. */
function planRulePaths(input: unknown): KeyPath[] {
  return authorityPaths(input).flatMap((path) => {
    const planRules = memberOf(valueAt(input, path), 'planRules');
    return Array.isArray(planRules) ? planRules.map((_, index) => [...path, 'planRules', index, 'plan']) : [];
  });
}

function valueAt(input: unknown, path: KeyPath): unknown {
  return path.reduce((value: unknown, key) => memberOf(value, String(key)), input);
}

function listOf(names: ReadonlySet<string>): string {
  return names.size === 0 ? 'there are none' : [...names].slice(0, 10).join(', ');
}

function findTwoPasswords(input: unknown): Contradiction[] {
  const signing = memberOf(input, 'signing');
  const isText = (key: string) => typeof memberOf(signing, key) === 'string';
  if (!isText('keyPassword') || !isText('keyPasswordPath')) return [];
  return [
    {
      path: ['signing', 'keyPasswordPath'],
      input: undefined,
      message: 'cannot be combined with keyPassword: set one of them',
    },
  ];
}

const redisTargets = ['url', 'sentinels', 'cluster'];
const redisKeys = [...redisTargets, 'master', 'passwordPath', 'caPath', 'minReplicas'];

/** Where Redis is: said once, and only where it is the store. */
function findReplayTargets(input: unknown): Contradiction[] {
  const replay = memberOf(memberOf(input, 'senderConstraint'), 'replay');
  const has = (key: string) => memberOf(replay, key) !== undefined;
  const mistake = (key: string, message: string): Contradiction => ({
    path: ['senderConstraint', 'replay', key],
    input: undefined,
    message,
  });
  const store = memberOf(replay, 'store') ?? 'memory';
  if (store === 'memory') return redisKeys.filter(has).map((key) => mistake(key, 'is only for store: redis'));
  if (store !== 'redis') return [];
  if (has('statePath'))
    return [mistake('statePath', 'is only for store: memory; Redis keeps the proofs itself')];
  const [target, ...others] = redisTargets.filter(has);
  if (target === undefined)
    return [mistake('url', 'is missing: store: redis needs url, or sentinels and master, or cluster')];
  const mistakes = others.map((key) => mistake(key, `cannot be combined with ${target}: set one of them`));
  if (has('sentinels') && !has('master'))
    mistakes.push(mistake('master', 'is missing: the name by which the sentinels know the master'));
  if (has('master') && !has('sentinels')) mistakes.push(mistake('master', 'is only for sentinels'));
  const url = URL.parse(String(memberOf(replay, 'url')));
  if (has('passwordPath') && url !== null && url.password !== '')
    mistakes.push(mistake('passwordPath', 'cannot be combined with a password in url: set one of them'));
  if (has('caPath') && url?.protocol === 'redis:')
    mistakes.push(mistake('caPath', 'needs TLS: write the url with rediss://'));
  return mistakes;
}

/** The own member of this name; undefined where there is none. */
export function memberOf(container: unknown, key: string): unknown {
  return typeof container === 'object' && container !== null && Object.hasOwn(container, key)
    ? (container as Record<string, unknown>)[key]
    : undefined;
}
