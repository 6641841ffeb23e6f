/** The claims of one caller as patterns and rules ask for them: by the names that the configuration gives them. */
import { type ClaimPath, claimAt } from '../authenticate/claim-path.ts';
import type { JsonObject } from '../authenticate/compact-jws.ts';
import { excerpt } from '../platform/escape.ts';
import { isNameComponent } from '../request/resource-scope.ts';

/** `claims.named`: names for claims that are not at the top level, or whose own names are unwieldy. */
export type NamedClaims = ReadonlyMap<string, ClaimPath>;

/** No repository name is longer. */
const MAX_LENGTH = 255;

const MOST_SHOWN = 16;
const MAX_SHOWN_LENGTH = 100;
const MAX_SHOWN_BYTES = 1024;

export class ClaimTexts {
  readonly #claims: JsonObject;
  readonly #named: NamedClaims;
  readonly #known = new Map<string, string | null>();

  constructor(claims: JsonObject, named: NamedClaims = new Map()) {
    this.#claims = claims;
    this.#named = named;
  }

  /** The claim at this path. */
  at(path: ClaimPath): unknown {
    return claimAt(this.#claims, path);
  }

  /** The claim of this name, of whatever kind: one of `claims.named`, else one at the top level. Undefined where it is missing. */
  valueOf(name: string): unknown {
    return claimAt(this.#claims, this.#named.get(name) ?? [name]);
  }

  /**
   * What a reference such as `claim:NAME` or `path:NAME|lower` stands for in a pattern: one component of a repository
   * name, or a path of them. Null where the claim is missing, or is none.
   */
  textOf(reference: string): string | null {
    const known = this.#known.get(reference);
    if (known !== undefined) return known;
    const text = this.#read(reference);
    this.#known.set(reference, text);
    return text;
  }

  /**
   * What tells customers apart, for the log: the claims of `claims.named`, and those that patterns asked for so far. Those
   * that are text, numbers or booleans, each cut after 100 characters; at most 16, and about 1 KiB. Null where there are none.
   */
  shown(): Readonly<Record<string, string>> | null {
    if (this.#named.size === 0 && this.#known.size === 0) return null;
    const names = new Set(this.#named.keys());
    for (const reference of this.#known.keys()) names.add(parseReference(reference).name);
    const texts: [name: string, text: string][] = [];
    let bytes = 0;
    for (const name of names) {
      const value = this.valueOf(name);
      if (texts.length === MOST_SHOWN || !isPlain(value)) continue;
      const text = excerpt(String(value), MAX_SHOWN_LENGTH);
      bytes += Buffer.byteLength(name) + Buffer.byteLength(text);
      if (bytes > MAX_SHOWN_BYTES) break;
      texts.push([name, text]);
    }
    return texts.length === 0 ? null : Object.fromEntries(texts);
  }

  #read(reference: string): string | null {
    const { kind, name, isLowered } = parseReference(reference);
    const value = this.valueOf(name);
    if (typeof value !== 'string' || value.length > MAX_LENGTH) return null;
    const text = isLowered
      ? value.replace(/[A-Z]/g, (letter) => String.fromCharCode(letter.charCodeAt(0) + 32))
      : value;
    const components = kind === 'path' ? text.split('/') : [text];
    return components.every(isNameComponent) ? text : null;
  }
}

function isPlain(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}

/** The parts of a reference without a fault. */
export function parseReference(reference: string): {
  readonly kind: 'claim' | 'path';
  readonly name: string;
  readonly isLowered: boolean;
} {
  const colon = reference.indexOf(':');
  const isLowered = reference.endsWith(LOWER);
  return {
    kind: reference.startsWith('path:') ? 'path' : 'claim',
    name: reference.slice(colon + 1, isLowered ? -LOWER.length : undefined),
    isLowered,
  };
}

const LOWER = '|lower';
