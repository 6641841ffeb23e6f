/** The replay store that several processes share: Redis, one key a proof. */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { LARGEST_CLOCK_SKEW, replayDeadline } from '../authenticate/dpop-proof.ts';
import type { ReplayStore, ReplayVerdict } from '../authenticate/replay-store.ts';
import { errorCode } from '../platform/errors.ts';
import {
  openLink,
  RedisFault,
  type RedisLink,
  type RedisMaster,
  type RedisPartition,
  type RedisSecrets,
  type RedisTarget,
} from './redis-link.ts';
import { INSERT, LOOK } from './redis-scripts.ts';

export interface RedisReplayOptions {
  readonly target: RedisTarget;
  /** Read at each connection, so that a new password is used without a restart. Throws where a file cannot be read. */
  readonly readSecrets: () => RedisSecrets;
  /** How many replicas must have a proof before it counts as recorded. */
  readonly minReplicas: number;
  /** Seconds by which the clocks of Redis and of this machine may differ. */
  readonly clockSkew: number;
  readonly clock: () => number;
  /** Told when the connection is lost or cannot be made, and when it is back: a fault without a secret, or null. */
  readonly onChange: (fault: string | null) => void;
}

const RECONNECT_MS = 250;
/** More than there are processes that find a new master at the same time. */
const CONFIRMATIONS = 20;
const LOOK_MS = 1000;
/** For `WAIT`; less than what an answer may take. */
const REPLICATION_MS = 700;
/** Of the difference of two clocks, an answer's way is part. */
const UNDER_WAY = 1;
/** Seconds from the date of a proof to the deadline of its entry. */
const WINDOW = replayDeadline(0);

/** A link that was judged good, and the scripts that its masters know. */
interface OpenLink extends RedisLink {
  readonly scripts: { readonly look: string; readonly insert: string };
  readonly replication: ReadonlyMap<RedisMaster, Replication>;
}

/** The marker of a partition as it was last seen. */
interface Marker {
  readonly id: string;
  readonly beat: number;
  /** Whose connection it was seen over. */
  readonly link: OpenLink;
  /** Before it was seen, in milliseconds of `performance.now()`. */
  readonly lookedAt: number;
  /** Epoch seconds. */
  readonly since: number;
  /** Seconds of this process's clock. */
  readonly settledAt: number;
}

/**
 * Connects by itself and again after each loss. While there is no connection, and when Redis does not answer within a
 * second, the verdict is `unavailable`. Once a second Redis's role, eviction policy and clock are looked at, and the marker that
 * shows whether entries were lost; a Redis that may forget entries counts as none.
 */
export class RedisReplayStore implements ReplayStore {
  readonly capacity = null;
  readonly memory = null;
  readonly #options: RedisReplayOptions;
  readonly #differenceAllowed: number;
  #open: OpenLink | null = null;
  /** By the partition's prefix. */
  readonly #markers = new Map<string, Marker>();
  readonly #ownIdentity = randomBytes(32);
  /** The first millisecond after the latest date of a proof that was recorded. */
  #latest = 0;
  /** Whether entries may have been dropped since the last look that was good. */
  #mayHaveForgotten = false;
  #fault: string | null = 'not connected yet';
  #opening: Promise<void> | null = null;
  #looking: Promise<void> | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #closed = false;

  constructor(options: RedisReplayOptions) {
    this.#options = options;
    // Entries live long enough for two clocks that differ so from Redis's, and no more.
    this.#differenceAllowed = Math.min(options.clockSkew + UNDER_WAY, LARGEST_CLOCK_SKEW);
  }

  /**
   * Since when no entry was lost. While there is no connection, `insert` alone has the answer: `unavailable`. Just after a
   * loss it lies ahead: another process may have recorded proofs that were dated ahead.
   */
  get rememberedSince(): number {
    if (this.#open === null) return Number.NEGATIVE_INFINITY;
    const now = this.#options.clock();
    let since = Number.NEGATIVE_INFINITY;
    for (const marker of this.#markers.values())
      since = Math.max(since, marker.since + (now < marker.settledAt ? LARGEST_CLOCK_SKEW : 0));
    return since;
  }

  /** Of the markers: nodes that share them accept each other's nonces. Before there is one, nobody else knows it. */
  get identity(): Uint8Array {
    if (this.#markers.size === 0) return this.#ownIdentity;
    const ids = [...this.#markers.values()].map(({ id }) => id).sort();
    return createHash('sha256').update(`restart-nonce:${ids.join()}`).digest();
  }

  restore(): void {}

  /** Redis has the latest date of a recorded proof. */
  admitAhead(): void {}

  async insert(key: Uint8Array, deadline: number, now: number): Promise<ReplayVerdict> {
    const open = this.#open;
    const partition = open?.partitions[(key[0] ?? 0) % open.partitions.length];
    const marker = this.#markers.get(partition?.prefix ?? '');
    if (open === null || partition === undefined || marker === undefined) return 'unavailable';
    const { prefix, master } = partition;
    const after = Math.floor((deadline - WINDOW) * 1000) + 1;
    try {
      const answer = await master.command([
        ...['EVALSHA', open.scripts.insert, '2'],
        ...[`${prefix}proof:${Buffer.from(key).toString('base64url')}`, markerOf(partition)],
        ...[marker.id, milliseconds(deadline), String(after)],
        ...[milliseconds(now), milliseconds(this.#differenceAllowed)],
      ]);
      if (answer === 'replayed') return 'replayed';
      if (answer === 'silent') throw new RedisFault('Redis was silent; it is being checked again');
      if (answer === 'moved' || answer === 'clock') void this.#look();
      if (answer !== 'first') return 'unavailable';
      this.#latest = Math.max(this.#latest, after);
      await open.replication.get(master)?.wait();
      return 'first';
    } catch (cause) {
      // Redis with `maxmemory-policy noeviction` refuses to write when it is full; its connection is well.
      if (isFull(cause)) return 'full';
      this.#lose(open, cause);
      return 'unavailable';
    }
  }

  /** Looks at Redis, once for all who ask at a time. */
  async failing(): Promise<string | null> {
    await this.#look();
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
    if (this.#timer !== null) clearTimeout(this.#timer);
    const open = this.#open;
    this.#open = null;
    open?.close();
  }

  async #connect(): Promise<void> {
    if (this.#closed || this.#open !== null) return;
    let link: RedisLink | null = null;
    let isLost = false;
    try {
      const { target, readSecrets, minReplicas } = this.#options;
      let open: OpenLink | null = null;
      link = await openLink(target, readSecrets(), () => {
        isLost = true;
        if (open !== null) this.#lose(open, null);
      });
      open = {
        ...link,
        scripts: await loadScripts(link),
        replication: new Map(
          minReplicas === 0
            ? []
            : link.masters.map((master) => [master, new Replication(master, minReplicas)]),
        ),
      };
      await this.#lookOver(open);
      if (this.#closed || isLost) throw new Error('closed');
      this.#open = open;
      this.#setFault(null);
      this.#after(LOOK_MS, () => this.#look());
    } catch (cause) {
      link?.close();
      this.#setFault(faultOf(cause));
      this.#after(RECONNECT_MS, () => this.open());
    }
  }

  #look(): Promise<void> {
    const open = this.#open;
    if (open === null) return Promise.resolve();
    this.#looking ??= this.#lookOver(open)
      .then(
        () => {
          if (this.#open === open) this.#after(LOOK_MS, () => this.#look());
        },
        (cause) => this.#lose(open, cause),
      )
      .finally(() => {
        this.#looking = null;
      });
    return this.#looking;
  }

  /** Throws where a master is not to be relied on. */
  async #lookOver(open: OpenLink): Promise<void> {
    try {
      const runs = new Map(
        await Promise.all(open.masters.map(async (master) => [master, await readRun(master)] as const)),
      );
      await Promise.all(
        open.partitions.map((partition) =>
          this.#lookAtMarker(open, partition, runs.get(partition.master) ?? ''),
        ),
      );
      await Promise.all([...open.replication.values()].map((replication) => replication.wait()));
      this.#mayHaveForgotten = false;
    } catch (cause) {
      if (cause instanceof ForgetfulRedis) this.#mayHaveForgotten = true;
      throw cause;
    }
  }

  async #lookAtMarker(open: OpenLink, partition: RedisPartition, run: string): Promise<void> {
    const order = this.#mayHaveForgotten ? 'renew' : '';
    let isConfirmed = await this.#askForMarker(open, partition, run, order);
    for (let tries = 0; !isConfirmed && tries < CONFIRMATIONS; tries += 1) {
      await open.replication.get(partition.master)?.wait();
      isConfirmed = await this.#askForMarker(open, partition, run, 'confirm');
    }
    if (!isConfirmed) throw new RedisFault('other processes keep changing the marker of used proofs');
  }

  /** Whether the marker is confirmed. */
  async #askForMarker(
    open: OpenLink,
    partition: RedisPartition,
    run: string,
    order: 'renew' | 'confirm' | '',
  ): Promise<boolean> {
    const { clock, minReplicas } = this.#options;
    const known = this.#markers.get(partition.prefix);
    const asked = clock();
    const lookedAt = performance.now();
    const passed = known?.link === open ? Math.ceil(lookedAt - known.lookedAt) : -1;
    const answer = await partition.master.command([
      ...['EVALSHA', open.scripts.look, '1', markerOf(partition), run],
      ...[known?.id ?? '', String(known?.beat ?? 0), String(passed), order],
      ...[String(this.#latest), randomUUID(), minReplicas > 0 ? '1' : '0'],
    ]);
    const [id, since, beat, unsettled, confirmed, time] = (Array.isArray(answer) ? answer : []).map(String);
    this.#checkClock(asked, Number(time) / 1000, clock());
    this.#markers.set(partition.prefix, {
      id: id ?? '',
      beat: Number(beat),
      link: open,
      lookedAt,
      since: Number(since) / 1000,
      settledAt: clock() + Number(unsettled) / 1000,
    });
    return confirmed === '1' || minReplicas === 0;
  }

  /** `time` is Redis's, between two moments of this machine. */
  #checkClock(from: number, time: number, to: number): void {
    const ahead = Math.max(time - to, 0) - Math.max(from - time, 0);
    if (Math.abs(ahead) <= this.#differenceAllowed) return;
    const difference = `${Math.round(Math.abs(ahead))} s ${ahead > 0 ? 'ahead of' : 'behind'} this machine's`;
    throw new ForgetfulRedis(
      `Redis's clock is ${difference}, and clockSkew is ${this.#options.clockSkew} s: synchronize both clocks (NTP)`,
    );
  }

  #lose(open: OpenLink, cause: unknown): void {
    if (this.#open !== open) return;
    this.#open = null;
    open.close();
    this.#setFault(faultOf(cause));
    this.#after(RECONNECT_MS, () => this.open());
  }

  /** In place of whatever was to be done next. */
  #after(ms: number, act: () => Promise<void>): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = this.#closed ? null : setTimeout(() => void act(), ms);
  }

  #setFault(fault: string | null): void {
    if (this.#closed || this.#fault === fault) return;
    this.#fault = fault;
    this.#options.onChange(fault);
  }
}

/** A fault for which Redis may drop entries that still count. */
class ForgetfulRedis extends RedisFault {}

/** Asks a master whether its replicas have what was written. A `WAIT` holds the connection up, so those who come meanwhile share the next. */
class Replication {
  readonly #master: RedisMaster;
  readonly #minReplicas: number;
  #running: Promise<void> | null = null;
  #next: Promise<void> | null = null;

  constructor(master: RedisMaster, minReplicas: number) {
    this.#master = master;
    this.#minReplicas = minReplicas;
  }

  /** Resolves once enough replicas have everything that was sent before. Rejects where they do not in time. */
  wait(): Promise<void> {
    if (this.#running === null) return this.#start();
    this.#next ??= this.#running.then(
      () => this.#start(),
      () => this.#start(),
    );
    return this.#next;
  }

  #start(): Promise<void> {
    this.#next = null;
    const running = this.#ask().finally(() => {
      if (this.#running === running) this.#running = null;
    });
    this.#running = running;
    return running;
  }

  async #ask(): Promise<void> {
    const wanted = this.#minReplicas;
    const count = Number(await this.#master.command(['WAIT', String(wanted), String(REPLICATION_MS)]));
    if (count >= wanted) return;
    throw new RedisFault(
      `${count} of the ${wanted} replicas that minReplicas asks for have acknowledged a proof: check Redis's replicas`,
    );
  }
}

function markerOf({ prefix }: RedisPartition): string {
  return `${prefix}marker`;
}

function milliseconds(seconds: number): string {
  return String(Math.ceil(seconds * 1000));
}

/** Their names are the same on every master. */
async function loadScripts({ masters }: RedisLink): Promise<OpenLink['scripts']> {
  const load = async (script: string) => {
    const names = await Promise.all(masters.map((master) => master.command(['SCRIPT', 'LOAD', script])));
    return String(names[0]);
  };
  return { look: await load(LOOK), insert: await load(INSERT) };
}

/** Which run of Redis this is. Throws for one that is no master, is loading, or evicts entries. */
async function readRun(master: RedisMaster): Promise<string> {
  const info = String(await master.command(['INFO']));
  const textOf = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1];
  const [run, role, policy] = [textOf('run_id'), textOf('role'), textOf('maxmemory_policy')];
  if (run === undefined || role === undefined || policy === undefined)
    throw new RedisFault('INFO of Redis lacks run_id, role or maxmemory_policy: is it Redis 6 or later?');
  if (role !== 'master')
    throw new RedisFault('Redis is a replica: name its master, or Sentinels (senderConstraint.replay)');
  if (policy !== 'noeviction')
    throw new ForgetfulRedis(
      `Redis forgets proofs when it is full (maxmemory-policy ${policy}): set maxmemory-policy noeviction`,
    );
  return run;
}

function isFull(cause: unknown): boolean {
  return cause instanceof Error && /(?:^|\s|-)OOM /.test(cause.message);
}

/** What is wrong, in our own words and the code of Redis's error reply. The libraries say nothing more about a closed connection. */
function faultOf(cause: unknown): string {
  if (cause instanceof RedisFault) return cause.message;
  if (isFull(cause)) return 'Redis is full: raise its maxmemory';
  if (
    cause instanceof Error &&
    (errorCode(cause) === 'ERR_REDIS_SERVER_ERROR' || cause.name === 'ReplyError')
  )
    return `Redis refuses to record proofs: ${/^[A-Z]+/.exec(cause.message)?.[0] ?? 'unknown error'}`;
  return 'no connection to Redis: is it up, and are its address, user, password and TLS in senderConstraint.replay right?';
}
