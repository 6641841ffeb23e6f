/** The file descriptors of the process: how many it may have, how many it has, and some that are kept for reloads. Linux. */
import { closeSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';

/**
 * `few`: connections are closed with their next answer, idle ones at once. `none`: no connection is accepted. Some are left
 * even then, because a listener whose `accept` fails for want of a descriptor tries again and again without a pause.
 */
export type DescriptorLevel = 'enough' | 'few' | 'none';

/** From this share of the limit on, descriptors are few; or as soon as only so many are left. */
const FEW_SHARE = 0.9;
const FEW_LEFT = 16;
/** A count that needs a listing is repeated after this time for each descriptor: it then costs about 0.5 % of a core. */
const LISTING_PAUSE_MS = 0.1;

const FOLDER = '/proc/self/fd';

/** What the process needs apart from connections, and each of its threads. */
const OTHERS = 24;
const OTHERS_OF_THREAD = 8;

export interface DescriptorsOptions {
  /** How many threads of the process listen; default 1. */
  readonly threads?: number;
  /** In place of the process's own limit. */
  readonly limit?: number;
  /** In place of the kernel's count of those that the process has. */
  readonly count?: () => number;
}

export class Descriptors {
  /** The soft limit, which Bun raises to the hard one at its start. Infinity where none is known. */
  readonly limit: number;
  readonly #threads: number;
  readonly #few: number;
  readonly #none: number;
  readonly #count: () => number;
  #listed = 0;
  #listAgainAt = 0;

  constructor({ threads = 1, limit = readLimit(), count }: DescriptorsOptions = {}) {
    this.limit = limit;
    this.#threads = threads;
    this.#count = count ?? (() => this.#countOpen());
    this.#few = Math.min(limit * FEW_SHARE, limit - FEW_LEFT);
    this.#none = (limit + this.#few) / 2;
  }

  /** Of the whole process, whichever thread asks. */
  level(): DescriptorLevel {
    if (this.limit === Infinity) return 'enough';
    const count = this.#count();
    return count >= this.#none ? 'none' : count >= this.#few ? 'few' : 'enough';
  }

  /** How many the process has now; null where no limit is known. */
  open(): number | null {
    return this.limit === Infinity ? null : this.#count();
  }

  /** How many connections one thread may have if each needs so many descriptors; at least one. */
  connectionsOfThread(each: number): number {
    if (this.limit === Infinity) return Infinity;
    const forConnections = this.#few - OTHERS - OTHERS_OF_THREAD * this.#threads;
    return Math.max(1, Math.floor(forConnections / each / this.#threads));
  }

  #countOpen(): number {
    // Since Linux 6.2 this is the count; before it is 0.
    const { size } = statSync(FOLDER);
    if (size > 0) return size;
    const now = performance.now();
    if (now < this.#listAgainAt) return this.#listed;
    this.#listed = listDescriptors() ?? this.limit;
    this.#listAgainAt = now + this.#listed * LISTING_PAUSE_MS;
    return this.#listed;
  }
}

/** null where there is not even one left to list them. */
function listDescriptors(): number | null {
  try {
    return readdirSync(FOLDER).length;
  } catch {
    return null;
  }
}

function readLimit(): number {
  try {
    statSync(FOLDER);
    const soft = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1];
    return soft === undefined ? Infinity : Number(soft);
  } catch {
    return Infinity;
  }
}

/** Listeners have noticed by then that no descriptors are left. */
const NOTICED_MS = 300;
const TAKE_AGAIN_MS = 1000;

/** Descriptors that nothing else can take: a reload reads files and opens listeners also when all others are in use. */
export class DescriptorReserve implements Disposable {
  readonly #descriptors: Descriptors;
  readonly #size: number;
  readonly #held: number[] = [];
  #borrowers = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(descriptors: Descriptors, size: number) {
    this.#descriptors = descriptors;
    this.#size = size;
    this.#take();
  }

  /** Gives them free while `act` runs. Settles as `act` does. */
  async lend<Result>(act: () => Promise<Result>): Promise<Result> {
    if (this.#descriptors.level() === 'none') await Bun.sleep(NOTICED_MS);
    this.#borrowers += 1;
    this.#release();
    try {
      return await act();
    } finally {
      this.#borrowers -= 1;
      if (this.#borrowers === 0) this.#take();
    }
  }

  [Symbol.dispose](): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#release();
  }

  #release(): void {
    for (const descriptor of this.#held.splice(0)) closeSync(descriptor);
  }

  /** Those that are not available now are taken later. */
  #take(): void {
    this.#timer = null;
    if (this.#borrowers > 0) return;
    try {
      while (this.#held.length < this.#size) this.#held.push(openSync('/dev/null', 'r'));
    } catch {
      this.#timer = setTimeout(() => this.#take(), TAKE_AGAIN_MS);
      this.#timer.unref();
    }
  }
}
