/** The replay store that several processes share: Redis, one key a proof, `SET … NX PX`. */
import { RedisClient } from 'bun';
import type { ReplayStore, ReplayVerdict } from '../authenticate/replay-store.ts';
import { errorCode } from '../platform/errors.ts';
import { settleWithin } from '../platform/wait.ts';

export interface RedisReplayOptions {
  /** `redis://` or `rediss://`, with user name and password where Redis wants them: a secret. */
  readonly url: string;
  readonly clock: () => number;
  /** Told when the connection is lost or cannot be made, and when it is back: a fault without a secret, or null. */
  readonly onChange: (fault: string | null) => void;
}

const PREFIX = 'registry-token:proof:';
const RECONNECT_MS = 250;
const ANSWER_MS = 1000;

/**
 * Connects by itself and again after each loss. While there is no connection, and when Redis does not answer
 * within a second, the verdict is `unavailable`. Proofs from before Redis itself started are not vouched for,
 * whatever it has restored from disk: its last moments may be missing there. A Redis that refuses to write, or
 * that drops entries when it is full, counts as none.
 */
export class RedisReplayStore implements ReplayStore {
  readonly capacity = null;
  readonly memory = null;
  readonly #options: RedisReplayOptions;
  #client: RedisClient | null = null;
  #startedAt = Number.NEGATIVE_INFINITY;
  /** Which run of Redis was connected last. */
  #run: string | null = null;
  #fault: string | null = 'not connected yet';
  #opening: Promise<void> | null = null;
  #checking: Promise<void> | null = null;
  #reconnect: ReturnType<typeof setTimeout> | null = null;
  #closed = false;

  constructor(options: RedisReplayOptions) {
    this.#options = options;
  }

  /** When the Redis that is connected started. While none is, `insert` alone has the answer: `unavailable`. */
  get rememberedSince(): number {
    return this.#startedAt;
  }

  async insert(key: Uint8Array, deadline: number, now: number): Promise<ReplayVerdict> {
    const client = this.#client;
    if (client === null) return 'unavailable';
    const name = PREFIX + Buffer.from(key).toString('base64url');
    const milliseconds = Math.max(1, Math.ceil((deadline - now) * 1000));
    try {
      const answer = await answerOf(client.send('SET', [name, '1', 'NX', 'PX', String(milliseconds)]));
      return answer === 'OK' ? 'first' : 'replayed';
    } catch (cause) {
      // Redis with `maxmemory-policy noeviction` refuses to write when it is full; its connection is well.
      if (isFull(cause)) return 'full';
      this.#lose(client, faultOf(cause));
      return 'unavailable';
    }
  }

  /** Asks Redis, once for all who ask at a time. */
  async failing(): Promise<string | null> {
    this.#checking ??= this.#ping().finally(() => {
      this.#checking = null;
    });
    await this.#checking;
    return this.#fault;
  }

  open(): Promise<void> {
    this.#opening ??= this.#connect().finally(() => {
      this.#opening = null;
    });
    return this.#opening;
  }

  /** Redis does not tell how many of its keys are proofs. */
  count(): null {
    return null;
  }

  releaseLockOf(): void {}

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#reconnect !== null) clearTimeout(this.#reconnect);
    const client = this.#client;
    this.#client = null;
    client?.close();
  }

  async #connect(): Promise<void> {
    if (this.#closed || this.#client !== null) return;
    let client: RedisClient | null = null;
    try {
      client = new RedisClient(this.#options.url, {
        autoReconnect: false,
        enableOfflineQueue: false,
        // Only to end what was given up below: whichever is first should say so in the same words.
        connectionTimeout: 2 * ANSWER_MS,
      });
      await answerOf(client.connect());
      const { run, uptime } = await readRun(client);
      await checkWrites(client);
      if (this.#closed) return client.close();
      const connected = client;
      connected.onclose = () => this.#lose(connected, faultOf(null));
      const now = this.#options.clock();
      // Uptime is the difference of two whole seconds: up to one less than it says. A run other than the last may
      // be a replica in its place, which may not know the last proofs however long it runs.
      const changed = this.#run !== null && this.#run !== run;
      this.#startedAt = changed ? now : now - Math.max(0, uptime - 1);
      this.#run = run;
      this.#client = connected;
      this.#setFault(null);
    } catch (cause) {
      client?.close();
      this.#setFault(faultOf(cause));
      this.#retry();
    }
  }

  async #ping(): Promise<void> {
    const client = this.#client;
    if (client === null) return;
    try {
      await answerOf(client.send('PING', []));
    } catch (cause) {
      this.#lose(client, faultOf(cause));
    }
  }

  #lose(client: RedisClient, fault: string): void {
    if (this.#client !== client) return;
    this.#client = null;
    this.#startedAt = Number.NEGATIVE_INFINITY;
    client.close();
    this.#setFault(fault);
    this.#retry();
  }

  #retry(): void {
    if (this.#closed || this.#reconnect !== null) return;
    this.#reconnect = setTimeout(() => {
      this.#reconnect = null;
      void this.open();
    }, RECONNECT_MS);
  }

  #setFault(fault: string | null): void {
    if (this.#closed || this.#fault === fault) return;
    this.#fault = fault;
    this.#options.onChange(fault);
  }
}

/** A fault found here, in words of our own: it can be shown. */
class RedisFault extends Error {}

/** Which run of Redis this is, and since how many seconds. Throws for one that evicts entries that still count. */
async function readRun(client: RedisClient): Promise<{ run: string; uptime: number }> {
  const info = async (section: string) => String(await answerOf(client.send('INFO', [section])));
  const server = await info('server');
  const uptime = /^uptime_in_seconds:(\d+)/m.exec(server)?.[1];
  if (uptime === undefined) throw new RedisFault('Redis does not tell its uptime (INFO server)');
  const memory = await info('memory');
  const policy = /^maxmemory_policy:([\w-]+)/m.exec(memory)?.[1] ?? 'noeviction';
  const limited = /^maxmemory:[1-9]/m.test(memory);
  if (limited && policy !== 'noeviction')
    throw new RedisFault(`Redis forgets proofs when it is full (maxmemory-policy ${policy}): set noeviction`);
  return { run: /^run_id:(\w+)/m.exec(server)?.[1] ?? '', uptime: Number(uptime) };
}

/** Throws for a Redis that can be read and not written: a replica, one that cannot save, a user without the right. */
async function checkWrites(client: RedisClient): Promise<void> {
  try {
    await answerOf(client.send('SET', [`${PREFIX}check`, '1', 'PX', '1']));
  } catch (cause) {
    if (!isFull(cause)) throw cause;
  }
}

function answerOf<Answer>(answer: Promise<Answer>): Promise<Answer> {
  return settleWithin(ANSWER_MS, answer, () => {
    throw new RedisFault(`Redis does not answer within ${ANSWER_MS} ms`);
  });
}

function isFull(cause: unknown): boolean {
  return cause instanceof Error && cause.message.startsWith('OOM ');
}

/** What is wrong, in our own words and the code of Redis's error reply. Bun tells no more of a closed connection. */
function faultOf(cause: unknown): string {
  if (cause instanceof RedisFault) return cause.message;
  if (cause instanceof Error && errorCode(cause) === 'ERR_REDIS_SERVER_ERROR')
    return `Redis refuses to record proofs: ${/^[A-Z]+/.exec(cause.message)?.[0] ?? 'unknown error'}`;
  return 'no connection to Redis: is it up, and are user, password and TLS of senderConstraint.replay.url right?';
}
