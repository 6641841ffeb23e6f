/** The scope of a token request: text to resources with their actions (distribution's token scope grammar). */
import { excerpt } from '../platform/escape.ts';
import { Refusal } from '../refusal.ts';

/** What is asked for, or granted, on one resource; `actions` sorted and without repetition. */
export interface ResourceActions {
  readonly type: string;
  readonly name: string;
  readonly actions: readonly string[];
}

const MAX_RESOURCES = 64;
const MAX_ACTIONS = 100;
const MAX_NAME_LENGTH = 255;

const TYPE = /^([a-z0-9]+)(?:\([a-z0-9]+\))?$/;
const ACTION = /^(?:[a-z]+|\*)$/;
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const HOST =
  /^(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*(?::[0-9]+)?$/;

/**
 * Parses every `scope` value of a request: none, one or many, each with any number of space-separated scopes.
 * Returns one entry a resource, sorted by type and name, with the union of its actions.
 * Throws `malformed-scope` for text outside the grammar, for more than 64 resources and for more than 100 actions on one.
 */
export function parseScopes(values: readonly string[]): ResourceActions[] {
  const actionsByResource = new Map<string, Set<string>>();
  for (const value of values) {
    for (const scope of value.split(' ')) {
      if (scope === '') continue;
      const { type, name, actions } = parseScope(scope);
      const resource = `${type}:${name}`;
      const known = actionsByResource.get(resource);
      const asked = known?.union(actions) ?? actions;
      if (asked.size > MAX_ACTIONS)
        throw malformed(scope, `asks for more than ${MAX_ACTIONS} actions on one resource`);
      actionsByResource.set(resource, asked);
      if (actionsByResource.size > MAX_RESOURCES)
        throw new Refusal('malformed-scope', `More than ${MAX_RESOURCES} resources are asked for.`);
    }
  }
  return [...actionsByResource.keys()].sort().map((resource) => {
    const colon = resource.indexOf(':');
    return {
      type: resource.slice(0, colon),
      name: resource.slice(colon + 1),
      actions: [...(actionsByResource.get(resource) ?? [])].sort(),
    };
  });
}

/** `type[(class)]:name:action[,action…]`: the type ends at the first colon, the actions start after the last. */
function parseScope(scope: string): { type: string; name: string; actions: Set<string> } {
  const first = scope.indexOf(':');
  const last = scope.lastIndexOf(':');
  if (first === -1 || first === last) throw malformed(scope, 'is not type:name:actions');
  const type = TYPE.exec(scope.slice(0, first))?.[1];
  if (type === undefined) throw malformed(scope, 'has a type other than [a-z0-9]+ with an optional (class)');
  const name = scope.slice(first + 1, last);
  // zot asks for `repository::pull` where it lists its repositories.
  if (!isResourceName(name) && !(type === 'repository' && name === ''))
    throw malformed(scope, 'has a name that is not a repository name');
  const actions = scope.slice(last + 1).split(',');
  if (!actions.every((action) => ACTION.test(action)))
    throw malformed(scope, 'has an action other than [a-z]+ and *');
  return { type, name, actions: new Set(actions) };
}

/** A repository name of the distribution grammar, with or without a `host:port/` before it. */
export function isResourceName(name: string): boolean {
  if (name.length > MAX_NAME_LENGTH) return false;
  const [head = '', ...rest] = name.split('/');
  if (!rest.every(isNameComponent)) return false;
  return isNameComponent(head) || (rest.length > 0 && HOST.test(head));
}

/** One path component of a repository name: lower-case letters and digits, with separators inside only. */
export function isNameComponent(text: string): boolean {
  return COMPONENT.test(text);
}

/** `type:name:action,action`, the form of a scope on the wire. */
export function formatScope({ type, name, actions }: ResourceActions): string {
  return `${type}:${name}:${actions.join(',')}`;
}

/**
 * Scopes for a person to read, in about `most` characters: those that fit, and how many more there are. The first one is
 * always there, cut where it is too long itself.
 */
export function summarizeScopes(access: readonly ResourceActions[], most: number): string[] {
  const shown: string[] = [];
  let length = 0;
  for (const resource of access) {
    const scope = excerpt(formatScope(resource), most);
    length += scope.length + 1;
    if (length > most && shown.length > 0) return [...shown, `and ${access.length - shown.length} more`];
    shown.push(scope);
  }
  return shown;
}

function malformed(scope: string, fault: string): Refusal {
  return new Refusal('malformed-scope', `The scope ${quote(scope)} ${fault}.`);
}

/** Shortened, and without control or non-ASCII characters. */
function quote(text: string): string {
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text;
  return `"${shown.replace(/[^\x20-\x7e…]|["\\]/g, '?')}"`;
}
