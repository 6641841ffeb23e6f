/** The Authority's keys, fetched: cached, refreshed, and kept when a fetch fails. */

import { createHash } from 'node:crypto';
import type { AuthorityKeys, FetchedKeySet, LastFetch } from '../authenticate/authority-keys.ts';
import type { Proxies } from '../platform/proxy.ts';
import { Refusal } from '../refusal.ts';
import { fetchKeySet, fetchMetadata, type HttpOptions } from './discovery.ts';
import { type AuthorityKeySet, parseKeySet } from './key-set.ts';

export interface RemoteAuthorityOptions extends Omit<HttpOptions, 'stop' | 'onDate'> {
  readonly issuer: string;
  readonly metadataUrl: string;
  /** Asked where there is nothing at the first. */
  readonly otherMetadataUrl?: string | null;
  /** Seconds after which a key set is fetched anew though nobody asked for an unknown `kid`. */
  readonly maxAge: number;
  /** Told of each fetch: `null`, or what went wrong. */
  readonly onRefresh: (fault: string | null) => void;
  /** Called with what is wrong with a new key set that is used anyway. */
  readonly onWarning?: (warning: string) => void;
  /** Told of each key set that was fetched. */
  readonly onKeySet?: (keySet: FetchedKeySet) => void;
  /** How many requests may wait for a fetch; default 1000. */
  readonly mostWaiting?: number;
  readonly proxies?: Proxies;
  /** In place of discovery over HTTP: asks the thread that fetches for all. Rejects with why there is none. */
  readonly fetchKeySet?: (source: string) => Promise<FetchedKeySet>;
}

/** Seconds between two fetches that an unknown `kid` may cause, and between two tries after a failure. */
const COOL_DOWN = 30;
const RETRY_AFTER_FAILURE = 5;
/** Keys are fetched a little before they reach their greatest age, so that nobody meets older ones. */
const FETCH_AHEAD = 10;
/** Seconds after which old keys, though still in use, make the service not ready; or thrice their greatest age. */
const TOO_OLD = 3600;
const MOST_WAITING = 1000;

/**
 * A key set that came before stays in use while fetches fail. One fetch is under way at a time, however many
 * requests wait for it. Times in epoch seconds.
 */
export class RemoteAuthorityKeys implements AuthorityKeys {
  readonly source: string;
  readonly #options: RemoteAuthorityOptions;
  #keySet: AuthorityKeySet | null = null;
  #fetched: FetchedKeySet | null = null;
  #generation = 0;
  #triedAt = Number.NEGATIVE_INFINITY;
  #fault: string | null = 'not fetched yet';
  #lastFetch: LastFetch | null = null;
  #underWay: Promise<void> | null = null;
  #waiting = 0;
  readonly #stop = new AbortController();

  constructor(options: RemoteAuthorityOptions) {
    this.#options = options;
    this.source = sourceOf(options);
  }

  get generation(): number {
    return this.#generation;
  }

  get fetched(): FetchedKeySet | null {
    return this.#fetched;
  }

  get lastFetch(): LastFetch | null {
    return this.#lastFetch;
  }

  async renew(now: number): Promise<FetchedKeySet> {
    await this.#refreshAfter(this.#fetched === null ? RETRY_AFTER_FAILURE : COOL_DOWN, now);
    if (this.#fetched === null) throw new Error(this.#fault ?? 'not fetched yet');
    return this.#fetched;
  }

  /**
   * A key set that is the same as before only becomes newer. One of another source may arrive late, from an Authority
   * that the configuration no longer names. Throws where it is no key set.
   */
  adopt(fetched: FetchedKeySet): void {
    if (fetched.source !== this.source) return;
    if (fetched.json !== this.#fetched?.json) {
      this.#keySet = parseKeySet(fetched.json);
      this.#generation += 1;
      for (const warning of this.#keySet.warnings) this.#options.onWarning?.(warning);
    }
    this.#fetched = fetched;
    this.#fault = null;
    this.#options.onKeySet?.(fetched);
  }

  failing(now: number): string | null {
    if (this.#fetched === null) return this.#fault ?? 'not fetched yet';
    const age = elapsed(this.#fetched.fetchedAt, now);
    if (age <= Math.max(TOO_OLD, 3 * this.#options.maxAge)) return null;
    return `The keys are ${Math.floor(age)} s old, and newer ones cannot be fetched: ${this.#fault}`;
  }

  async find(algorithm: string, keyId: string | null, now: number): Promise<readonly CryptoKey[]> {
    const refreshed = this.refreshIfNeeded(now);
    if (this.#keySet === null) await this.#wait(refreshed);
    const known = (await this.#keySet?.find(algorithm, keyId)) ?? [];
    if (known.length > 0) return known;
    if (this.#keySet !== null) await this.#wait(this.#refreshAfter(COOL_DOWN, now));
    if (this.#keySet === null) throw unavailable(this.#fault ?? 'unknown fault');
    const found = await this.#keySet.find(algorithm, keyId);
    if (found.length === 0)
      throw new Refusal('token-key-unknown', this.#keySet.describeMiss(algorithm, keyId), {
        forLog: `A new key is fetched within ${COOL_DOWN} s. If it stays unknown, issuer or metadataUrl points to a different server than the one that signs.`,
      });
    return found;
  }

  refreshIfNeeded(now: number): Promise<void> {
    if (this.#fetched === null) return this.#refreshAfter(RETRY_AFTER_FAILURE, now);
    const { maxAge } = this.#options;
    return elapsed(this.#fetched.fetchedAt, now) > maxAge - Math.min(FETCH_AHEAD, maxAge / 2)
      ? this.#refreshAfter(COOL_DOWN, now)
      : Promise.resolve();
  }

  /** The process could not end before a fetch that is under way. */
  close(): void {
    this.#stop.abort();
  }

  refresh(now: number): Promise<void> {
    return this.#refreshAfter(0, now);
  }

  inherit(before: AuthorityKeys): void {
    if (before.source !== this.source || !(#options in before)) return;
    this.#triedAt = before.#triedAt;
    this.#fault = before.#fault;
    this.#lastFetch = before.#lastFetch;
    if (before.#fetched === null) return;
    this.#fetched = before.#fetched;
    this.#keySet = before.#keySet;
    this.#generation += 1;
  }

  /** Fetches the key set, unless the last try is less than `coolDown` seconds ago. Never rejects. */
  #refreshAfter(coolDown: number, now: number): Promise<void> {
    if (this.#underWay !== null) return this.#underWay;
    if (this.#stop.signal.aborted) return Promise.resolve();
    if (elapsed(this.#triedAt, now) < coolDown) return Promise.resolve();
    this.#triedAt = now;
    this.#underWay = this.#fetch(now).finally(() => {
      this.#underWay = null;
    });
    return this.#underWay;
  }

  /** How many requests may wait for the Authority: those whose keys are known must not have to queue behind them. */
  async #wait(fetched: Promise<void>): Promise<void> {
    if (this.#waiting >= (this.#options.mostWaiting ?? MOST_WAITING))
      throw unavailable('too many requests are already waiting for them');
    this.#waiting += 1;
    try {
      await fetched;
    } finally {
      this.#waiting -= 1;
    }
  }

  async #fetch(now: number): Promise<void> {
    const asked = performance.now();
    let clockAhead: number | null = null;
    const onDate = (date: number) => {
      clockAhead = date - (now + (performance.now() - asked) / 1000);
    };
    try {
      const { fetchKeySet } = this.#options;
      this.adopt(
        fetchKeySet === undefined ? await this.#discover(now, onDate) : await fetchKeySet(this.source),
      );
    } catch (cause) {
      this.#fault = cause instanceof Error ? cause.message : 'unknown fault';
    }
    this.#lastFetch = { at: now, fault: this.#fault, clockAhead };
    if (!this.#stop.signal.aborted) this.#options.onRefresh(this.#fault);
  }

  async #discover(now: number, onDate: (date: number) => void): Promise<FetchedKeySet> {
    const { issuer, metadataUrl, otherMetadataUrl = null, certificateAuthorities, proxies } = this.#options;
    const http = {
      certificateAuthorities,
      stop: this.#stop.signal,
      onDate,
      ...(proxies === undefined ? {} : { proxies }),
    };
    const urls = otherMetadataUrl === null ? [metadataUrl] : [metadataUrl, otherMetadataUrl];
    const { jwks_uri: jwksUri } = await fetchMetadata(urls, issuer, http);
    return { json: await fetchKeySet(jwksUri, http), fetchedAt: now, source: this.source };
  }
}

function sourceOf({ issuer, metadataUrl, certificateAuthorities }: RemoteAuthorityOptions): string {
  const trust = createHash('sha256')
    .update(certificateAuthorities ?? '')
    .digest('base64url');
  return JSON.stringify([issuer, metadataUrl, trust]);
}

function unavailable(fault: string): Refusal {
  return new Refusal('authority-unavailable', `The Authority's keys could not be fetched: ${fault}`, {
    retryAfter: RETRY_AFTER_FAILURE,
  });
}

/** Seconds between two times. A clock that was set back must not stop all fetching until it has caught up. */
function elapsed(since: number, now: number): number {
  return Math.abs(now - since);
}
