/**
 * What a described caller would be granted, for `explain` and the console: plan, licence and claims in place of an OpTok. The
 * service's own code decides. This folder changes nothing and verifies nothing.
 */
import type { Caller } from '../authenticate/authenticate.ts';
import type { ClaimPath } from '../authenticate/claim-path.ts';
import { isJsonObject, type JsonObject } from '../authenticate/compact-jws.ts';
import { type Explanation, explain } from '../authorize/explain.ts';
import type { Policy } from '../authorize/policy.ts';
import { parseScopes } from '../request/resource-scope.ts';

export interface Description {
  readonly plan: string | null;
  readonly license: string | null;
  /** By the name of `claims.named`, or of a claim at the top level; several values of one name are a list. */
  readonly claims: readonly (readonly [name: string, value: unknown])[];
  /** null for the only one. */
  readonly authority: string | null;
}

/** A description that fits no caller. */
export class DescriptionFault extends Error {}

/** Throws DescriptionFault where there is no such Authority, or none is named and there are several. */
export function describedCaller({ plan, license, claims, authority }: Description, policy: Policy): Caller {
  const names = [...policy.claimRules.keys()];
  const name = authority ?? (names.length === 1 ? names[0] : undefined);
  if (name === undefined) throw new DescriptionFault(`there are several Authorities (${names.join(', ')})`);
  const rules = policy.claimRules.get(name);
  if (rules === undefined)
    throw new DescriptionFault(`there is no Authority ${name}; the configuration has ${names.join(', ')}`);
  const given: [path: ClaimPath, value: unknown][] = claims.map(([claim, value]) => [
    rules.named.get(claim) ?? [claim],
    value,
  ]);
  if (plan !== null) given.push([rules.plan, plan]);
  if (license !== null) given.push([rules.license, license]);
  return {
    kind: 'verified',
    authority: name,
    subject: '',
    clientId: null,
    opTokJti: null,
    claims: claimsOf(given),
  };
}

/** `hasPlan`: the plan that was named is explained, whatever the claims would lead to. Throws Refusal for a malformed scope. */
export function explainDescribed(
  caller: Caller,
  scopes: readonly string[],
  policy: Policy,
  hasPlan: boolean,
): Explanation {
  return explain(caller, 'registry', parseScopes(scopes), hasPlan ? withoutPlanRules(policy) : policy);
}

/** An object with these values at their paths; several at one path are a list. */
function claimsOf(given: readonly (readonly [path: ClaimPath, value: unknown])[]): JsonObject {
  const claims: Record<string, unknown> = Object.create(null);
  for (const [path, value] of given) {
    let container = claims;
    for (const name of path.slice(0, -1)) {
      if (!isJsonObject(container[name])) container[name] = Object.create(null);
      container = container[name] as Record<string, unknown>;
    }
    const name = path.at(-1) ?? '';
    const before = container[name];
    container[name] = before === undefined ? value : [before, value].flat();
  }
  return claims;
}

function withoutPlanRules(policy: Policy): Policy {
  const claimRules = [...policy.claimRules].map(
    ([name, rules]) => [name, { ...rules, planRules: [] }] as const,
  );
  return { ...policy, claimRules: new Map(claimRules) };
}
