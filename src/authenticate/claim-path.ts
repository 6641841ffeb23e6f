/** A claim by its path: a top-level name, or the names of the objects that lead to it. */
import { isJsonObject, type JsonObject } from './compact-jws.ts';

export type ClaimPath = readonly [string, ...string[]];

/** The value at the path; undefined where there is none. Lists are not entered. */
export function claimAt(claims: JsonObject, path: ClaimPath): unknown {
  let value: unknown = claims;
  for (const name of path) {
    if (!isJsonObject(value) || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return value;
}

/** As the configuration writes it. */
export function formatClaimPath(path: ClaimPath): string {
  return path.length === 1 ? path[0] : `[${path.join(', ')}]`;
}
