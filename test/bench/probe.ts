/** One client that asks at a steady pace and notes how long each answer takes, whatever others do meanwhile. */
import { useConnection } from '../support/raw-client.ts';
import { tokenRequests } from '../support/token-text.ts';
import type { LoadTarget } from './load.ts';

export interface Probe {
  /** Milliseconds of the answers 200, sorted. */
  readonly accepted: readonly number[];
  /** Milliseconds of the answers 503 with `Retry-After`, sorted. */
  readonly turnedAway: readonly number[];
  /** Other answers, and those that did not come. */
  readonly faulty: number;
}

const PERIOD_MS = 10;
/** An answer that takes longer counts as none. */
const PATIENCE_MS = 10_000;

/** Asks every 10 ms for `seconds`, each time over a new connection, so that no answer waits for another. */
export async function probe(target: LoadTarget, seconds: number): Promise<Probe> {
  const { protocol, port } = new URL(target.url);
  const place = { port: Number(port), tls: protocol === 'https:' };
  const requests = tokenRequests(target);
  const accepted: number[] = [];
  const turnedAway: number[] = [];
  const asked: Promise<void>[] = [];
  let faulty = 0;
  const ask = async () => {
    const request = requests();
    let began = performance.now();
    let answer: readonly [number, string] = [0, ''];
    const used = useConnection(place, {
      keepAlive: false,
      pauseMs: () => 0,
      next: () => {
        began = performance.now();
        return request;
      },
      onAnswer: (status, text) => {
        answer = [status, text];
      },
    });
    await Promise.race([used, Bun.sleep(PATIENCE_MS)]);
    const [status, text] = answer;
    if (status === 200) accepted.push(performance.now() - began);
    else if (status === 503 && /^retry-after: \d+$/im.test(text)) turnedAway.push(performance.now() - began);
    else faulty += 1;
  };
  const end = performance.now() + seconds * 1000;
  for (let next = performance.now(); next < end; next += PERIOD_MS) {
    asked.push(ask());
    await Bun.sleep(Math.max(0, next + PERIOD_MS - performance.now()));
  }
  await Promise.all(asked);
  const ascending = (a: number, b: number) => a - b;
  return { accepted: accepted.sort(ascending), turnedAway: turnedAway.sort(ascending), faulty };
}

/** Of sorted values; NaN where there are none. */
export function percentile(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}
