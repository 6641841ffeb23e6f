/** Tokens that many requests share: each is obtained once, however many ask, and used until near its expiry. */

export interface ObtainedToken<Value> {
  readonly value: Value;
  /** Seconds, from the moment it was asked for; 0: it is not used again. */
  readonly lifetime: number;
}

/**
 * How much of its life a token must have before it: a moment is enough for a request that is sent at once. An
 * upload may be held by a proxy until it is complete, and a body that has gone cannot be sent again with another.
 */
export type RemainingLife = 'moment' | 'upload';

interface Kept<Value> {
  readonly value: Value;
  readonly lifetime: number;
  readonly expiresAt: number;
}

/** So that nobody fills the memory by asking for ever new names; the oldest goes first. */
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

  /** The token of this key: kept, or by `obtain`. Rejects, for all who wait, as `obtain` does. */
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

  /** Lets go of a token that was refused, but not of one that has come in its place meanwhile. */
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

/** Seconds. In proportion for tokens of a minute and less, or each would be too old at once. */
function leastLife(lifetime: number, life: RemainingLife): number {
  return life === 'upload' ? lifetime / 2 : Math.min(MOMENT_S, lifetime / 4);
}
