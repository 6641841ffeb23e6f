/** The replay store that several processes share: Redis, one key a proof, `SET … NX PX`. */
import { RedisClient } from 'bun';
import type { ReplayStore, ReplayVerdict } from '../authenticate/replay-store.ts';

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
 * whatever it has restored from disk: its last moments may be missing there.
 */
export class RedisReplayStore implements ReplayStore {
  readonly #options: RedisReplayOptions;
  #client: RedisClient | null = null;
  #startedAt = Number.POSITIVE_INFINITY;
  #fault: string | null = 'not connected yet';
  #reconnect: ReturnType<typeof setTimeout> | null = null;
  #closed = false;

  constructor(options: RedisReplayOptions) {
    this.#options = options;
  }

  /** When the Redis that is connected started; in the far future while none is. */
  get rememberedSince(): number {
    return this.#startedAt;
  }

  /** Why there is no connection; null where there is one. */
  get fault(): string | null {
    return this.#fault;
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
      if (cause instanceof Error && cause.message.startsWith('OOM')) return 'full';
      this.#lose(client, 'Redis does not answer');
      return 'unavailable';
    }
  }

  /** Makes the first connection, or fails to: either way it goes on trying. Never rejects. */
  async open(): Promise<void> {
    if (this.#closed || this.#client !== null) return;
    let client: RedisClient | null = null;
    try {
      client = new RedisClient(this.#options.url, {
        autoReconnect: false,
        enableOfflineQueue: false,
        connectionTimeout: ANSWER_MS,
      });
      await answerOf(client.connect());
      const info = String(await answerOf(client.send('INFO', ['server'])));
      const uptime = /^uptime_in_seconds:(\d+)/m.exec(info)?.[1];
      if (uptime === undefined) throw new Error('it does not tell its uptime (INFO server)');
      const connected = client;
      connected.onclose = () => this.#lose(connected, 'the connection was closed');
      this.#startedAt = this.#options.clock() - Number(uptime);
      this.#client = connected;
      this.#setFault(null);
    } catch (cause) {
      client?.close();
      this.#setFault(`Redis cannot be reached: ${faultOf(cause)}`);
      this.#retry();
    }
  }

  close(): void {
    this.#closed = true;
    if (this.#reconnect !== null) clearTimeout(this.#reconnect);
    const client = this.#client;
    this.#client = null;
    client?.close();
  }

  #lose(client: RedisClient, fault: string): void {
    if (this.#client !== client) return;
    this.#client = null;
    this.#startedAt = Number.POSITIVE_INFINITY;
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
    if (this.#fault === fault) return;
    this.#fault = fault;
    this.#options.onChange(fault);
  }
}

async function answerOf<Answer>(answer: Promise<Answer>): Promise<Answer> {
  const timeout = Promise.withResolvers<never>();
  const timer = setTimeout(() => timeout.reject(new Error(`no answer within ${ANSWER_MS} ms`)), ANSWER_MS);
  try {
    return await Promise.race([answer, timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** The code or first line of what went wrong. Bun's messages do not hold the URL; a code says enough. */
function faultOf(cause: unknown): string {
  if (!(cause instanceof Error)) return 'unknown fault';
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : '';
  if (code.startsWith('ERR_REDIS')) return code;
  return cause.message
    .split('\n', 1)
    .join('')
    .replaceAll(/\/\/[^@\s]*@/g, '//…@');
}
