/** What a replay store is, in the simplest words: a map of keys to the seconds through which they live. */
import { createHash } from 'node:crypto';
import type { ReplayVerdict } from '../../src/authenticate/replay-store.ts';

export function keyOf(name: string | number): Buffer {
  return createHash('sha256').update(String(name)).digest();
}

/** Exact while its clock never goes back. */
export class ReferenceStore {
  readonly #entries = new Map<string, number>();
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  insert(key: Uint8Array, deadline: number, now: number): ReplayVerdict {
    for (const [name, second] of this.#entries) if (second < now) this.#entries.delete(name);
    const name = Buffer.from(key).toString('hex');
    if (this.#entries.has(name)) return 'replayed';
    if (this.#entries.size === this.#capacity) return 'full';
    this.#entries.set(name, Math.ceil(deadline));
    return 'first';
  }

  /** How many entries have not expired. */
  count(now: number): number {
    return [...this.#entries.values()].filter((second) => second >= now).length;
  }
}
