/** The Authority's keys over HTTP: discovery, then the key set; cached, refreshed, and kept when a fetch fails. */
import type { AuthorityKeys } from '../authenticate/authority-keys.ts';
import { Refusal } from '../refusal.ts';
import { type AuthorityKeySet, parseKeySet } from './authority-key-set.ts';
import { fetchJwksUri, fetchText, type HttpOptions } from './discovery.ts';

export interface RemoteAuthorityOptions extends Omit<HttpOptions, 'stop'> {
  readonly issuer: string;
  readonly metadataUrl: string;
  /** Told of each fetch: `null`, or what went wrong. */
  readonly onRefresh: (fault: string | null) => void;
}

/** Seconds between two fetches that an unknown `kid` may cause, and between two tries after a failure. */
const COOL_DOWN = 30;
const RETRY_AFTER_FAILURE = 5;
/** Seconds after which a key set is fetched anew though nobody asked for an unknown `kid`. */
const REFRESH_AFTER = 300;
/** Seconds after which old keys, though still in use, make the service not ready. */
const TOO_OLD = 3600;

/**
 * A key set that came before stays in use while fetches fail. One fetch is under way at a time, however many
 * requests wait for it. Times in epoch seconds.
 */
export class RemoteAuthorityKeys implements AuthorityKeys {
  readonly #options: RemoteAuthorityOptions;
  #keySet: AuthorityKeySet | null = null;
  #generation = 0;
  #fetchedAt = Number.NEGATIVE_INFINITY;
  #triedAt = Number.NEGATIVE_INFINITY;
  #fault: string | null = 'not fetched yet';
  #underWay: Promise<void> | null = null;
  readonly #stop = new AbortController();

  constructor(options: RemoteAuthorityOptions) {
    this.#options = options;
  }

  /** True where both are of one issuer, fetched from one place, with the same trust. */
  isLike(others: RemoteAuthorityKeys): boolean {
    const [own, other] = [this.#options, others.#options];
    return (
      own.issuer === other.issuer &&
      own.metadataUrl === other.metadataUrl &&
      own.certificateAuthorities === other.certificateAuthorities
    );
  }

  get generation(): number {
    return this.#generation;
  }

  /** When the key set in use was fetched; null while there is none. */
  get fetchedAt(): number | null {
    return this.#keySet === null ? null : this.#fetchedAt;
  }

  /** Why nothing should be sent here now: no keys, or keys so old that the Authority may have replaced them. */
  failing(now: number): string | null {
    if (this.#keySet === null) return this.#fault ?? 'not fetched yet';
    const age = elapsed(this.#fetchedAt, now);
    if (age <= TOO_OLD) return null;
    return `The keys are ${Math.floor(age)} s old, and no newer ones can be had: ${this.#fault}`;
  }

  async find(algorithm: string, keyId: string | null, now: number): Promise<CryptoKey> {
    const refreshed = this.refreshIfNeeded(now);
    if (this.#keySet === null) await refreshed;
    const known = await this.#keySet?.find(algorithm, keyId);
    if (known) return known;
    if (this.#keySet !== null) await this.refresh(now, COOL_DOWN);
    if (this.#keySet === null)
      throw new Refusal('authority-unavailable', `The Authority's keys could not be had: ${this.#fault}`, {
        retryAfter: RETRY_AFTER_FAILURE,
      });
    const found = await this.#keySet.find(algorithm, keyId);
    if (found === null)
      throw new Refusal('token-key-unknown', "The OpTok's kid and alg are not in the Authority's key set.");
    return found;
  }

  /** Fetches the key set where there is none yet, or where it is old. Never rejects. */
  refreshIfNeeded(now: number): Promise<void> {
    if (this.#keySet === null) return this.refresh(now, RETRY_AFTER_FAILURE);
    return elapsed(this.#fetchedAt, now) > REFRESH_AFTER ? this.refresh(now, COOL_DOWN) : Promise.resolve();
  }

  /** Ends a fetch that is under way, and starts no more: the process could not end before it. */
  close(): void {
    this.#stop.abort();
  }

  /** Fetches the key set, unless the last try is less than `coolDown` seconds ago. Never rejects. */
  refresh(now: number, coolDown = 0): Promise<void> {
    if (this.#underWay !== null) return this.#underWay;
    if (this.#stop.signal.aborted) return Promise.resolve();
    if (elapsed(this.#triedAt, now) < coolDown) return Promise.resolve();
    this.#triedAt = now;
    this.#underWay = this.#fetch(now).finally(() => {
      this.#underWay = null;
    });
    return this.#underWay;
  }

  async #fetch(now: number): Promise<void> {
    try {
      const { issuer, metadataUrl, certificateAuthorities } = this.#options;
      const http = { certificateAuthorities, stop: this.#stop.signal };
      const jwksUri = await fetchJwksUri(metadataUrl, issuer, http);
      const keySet = parseKeySet(await fetchText(jwksUri, http));
      this.#keySet = keySet;
      this.#generation += 1;
      this.#fetchedAt = now;
      this.#fault = null;
    } catch (cause) {
      this.#fault = cause instanceof Error ? cause.message : 'unknown fault';
    }
    if (!this.#stop.signal.aborted) this.#options.onRefresh(this.#fault);
  }
}

/** Seconds between two times. A clock that was set back must not stop all fetching until it has caught up. */
function elapsed(since: number, now: number): number {
  return Math.abs(now - since);
}
