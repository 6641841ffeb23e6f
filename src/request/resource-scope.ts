/** Parses the scopes of a token request (distribution's token scope grammar) into resources and actions. */
import { excerpt } from '../platform/escape.ts';
import { Refusal } from '../refusal.ts';

/** The actions requested or granted on one resource, sorted and unique. */
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
const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const COMPONENT = new RegExp(`^${component}$`);
const PATH = new RegExp(`^${component}(?:/${component})*$`);
const HOST =
  /^(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*(?::[0-9]+)?$/;

/**
 * Parses the `scope` values of a request, each with any number of space-separated scopes. Returns one entry per resource,
 * sorted by type and name, with the union of its actions.
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
        throw malformed(scope, `brings a resource to more than ${MAX_ACTIONS} actions`);
      actionsByResource.set(resource, asked);
      if (actionsByResource.size > MAX_RESOURCES)
        throw new Refusal('malformed-scope', `The request has more than ${MAX_RESOURCES} resources.`);
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
  // zot requires `repository::pull` for its list of repositories.
  if (!isResourceName(name) && !(type === 'repository' && name === ''))
    throw malformed(scope, 'has a name that is not a repository name');
  const actions = scope.slice(last + 1).split(',');
  if (!actions.every((action) => ACTION.test(action)))
    throw malformed(scope, 'has an action other than [a-z]+ and *');
  return { type, name, actions: new Set(actions) };
}

/** True for a repository name of the distribution grammar, with or without `host:port/` in front. */
export function isResourceName(name: string): boolean {
  if (name.length > MAX_NAME_LENGTH) return false;
  if (PATH.test(name)) return true;
  const slash = name.indexOf('/');
  return slash !== -1 && HOST.test(name.slice(0, slash)) && PATH.test(name.slice(slash + 1));
}

/** True for one path component of a repository name: lower-case letters and digits, separators only between them. */
export function isNameComponent(text: string): boolean {
  return COMPONENT.test(text);
}

/** A scope as it is sent: `type:name:action,action`. */
export function formatScope({ type, name, actions }: ResourceActions): string {
  return `${type}:${name}:${actions.join(',')}`;
}

/**
 * Formats scopes for messages, in about `most` characters: those that fit, then the number of the others. The first one is
 * always included, shortened if it is too long by itself.
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

/** The text in quotes, shortened, with `?` for control characters and anything outside ASCII. */
function quote(text: string): string {
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text;
  return `"${shown.replace(/[^\x20-\x7e…]|["\\]/g, '?')}"`;
}
