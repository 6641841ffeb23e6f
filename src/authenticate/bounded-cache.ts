/**
 * A map of at most `capacity` bytes that forgets those not used for long, in two generations: when the young one is
 * full it becomes the old one, and what is used there comes back. Evicting one entry at a time would cost more than the
 * verification that it saves: a Map walks its deleted entries to find the oldest. How large an entry is, the caller
 * estimates.
 */
export class BoundedCache<Key, Value> {
  readonly #generationBytes: number;
  #young = new Map<Key, Entry<Value>>();
  #youngBytes = 0;
  #old = new Map<Key, Entry<Value>>();
  #oldBytes = 0;

  constructor(capacityBytes: number) {
    this.#generationBytes = Math.floor(capacityBytes / 2);
  }

  /** How much is held, as estimated: at most the capacity. An entry that came back counts twice until its generation goes. */
  get bytes(): number {
    return this.#youngBytes + this.#oldBytes;
  }

  get(key: Key): Value | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young.value;
    const old = this.#old.get(key);
    if (old === undefined) return undefined;
    this.set(key, old.value, old.bytes);
    return old.value;
  }

  /** What is larger than half of the capacity is not kept. */
  set(key: Key, value: Value, bytes: number): void {
    if (bytes > this.#generationBytes) return;
    this.#youngBytes -= this.#young.get(key)?.bytes ?? 0;
    if (this.#youngBytes + bytes > this.#generationBytes) {
      this.#old = this.#young;
      this.#oldBytes = this.#youngBytes;
      this.#young = new Map();
      this.#youngBytes = 0;
    }
    this.#young.set(key, { value, bytes });
    this.#youngBytes += bytes;
  }
}

interface Entry<Value> {
  readonly value: Value;
  readonly bytes: number;
}
