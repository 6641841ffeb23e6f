/** Tokens that requests share: each is obtained once, however many ask for it, and used until shortly before it expires. */

export interface ObtainedToken<Value> {
  readonly value: Value;
  /** Seconds from when it was requested; 0 if it must not be used again. */
  readonly lifetime: number;
}

/**
 * How long a token must still be valid. A moment is enough for a request that is sent at once. A proxy may hold an upload
 * back until it is complete, and its body cannot be sent again with another token.
 */
export type RemainingLife = 'moment' | 'upload';

interface Kept<Value> {
  readonly value: Value;
  readonly lifetime: number;
  readonly expiresAt: number;
}

/** A bound for requests with ever new names; the oldest is dropped first. */
const MAX_KEPT = 1000;
const MOMENT_S = 30;

export class SharedTokens<Value> {
  readonly #clock: () => number;
  readonly #kept = new Map<string, Kept<Value>>();
  readonly #underWay = new Map<string, Promise<Value>>();

  /** `clock` in epoch seconds. */
  constructor(clock: () => number) {
    this.#clock = clock;
  }

  /** The token for this key: a kept one, or one from `obtain`. Rejects as `obtain` does, for all that wait for it. */
  async get(
    key: string,
    life: RemainingLife,
    obtain: () => Promise<ObtainedToken<Value>>,
  ): Promise<{ readonly value: Value; readonly isNew: boolean }> {
    const kept = this.#kept.get(key);
    if (kept !== undefined && kept.expiresAt - this.#clock() >= leastLife(kept.lifetime, life))
      return { value: kept.value, isNew: false };
    let obtaining = this.#underWay.get(key);
    if (obtaining === undefined) {
      obtaining = this.#obtain(key, obtain).finally(() => this.#underWay.delete(key));
      this.#underWay.set(key, obtaining);
    }
    return { value: await obtaining, isNew: true };
  }

  /** Drops a token that was refused, unless another has replaced it by then. */
  forget(key: string, refused: Value): void {
    if (this.#kept.get(key)?.value === refused) this.#kept.delete(key);
  }

  async #obtain(key: string, obtain: () => Promise<ObtainedToken<Value>>): Promise<Value> {
    const askedAt = this.#clock();
    const { value, lifetime } = await obtain();
    this.#kept.delete(key);
    if (lifetime <= 0) return value;
    this.#kept.set(key, { value, lifetime, expiresAt: askedAt + lifetime });
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= MAX_KEPT) break;
      this.#kept.delete(oldest);
    }
    return value;
  }
}

/** Seconds. Proportional for tokens of two minutes and less, or they would be too old at once. */
function leastLife(lifetime: number, life: RemainingLife): number {
  return life === 'upload' ? lifetime / 2 : Math.min(MOMENT_S, lifetime / 4);
}
