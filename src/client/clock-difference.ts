/** How far this machine's clock is from a server's, by the server's Date field: what a refused proof is often about. */
import type { HttpAnswer } from './http.ts';

/** Date has whole seconds, and an answer takes its time to arrive. */
const NOTICEABLE_S = 3;

/** Server minus local, in seconds; null where the answer has no Date. `now` in epoch seconds, when it arrived. */
export function clockDifference({ headers }: HttpAnswer, now: number): number | null {
  const date = Date.parse(headers.get('date') ?? '');
  return Number.isNaN(date) ? null : Math.round(date / 1000 - now);
}

/** A sentence about the clocks for a refused proof; empty where the server does not tell its time. */
export function clockHint(answer: HttpAnswer, now: number): string {
  const difference = clockDifference(answer, now);
  if (difference === null) return '';
  if (Math.abs(difference) < NOTICEABLE_S) return "; its clock agrees with this machine's";
  const side = difference > 0 ? 'behind' : 'ahead of';
  return `; this machine's clock is ${Math.abs(difference)} s ${side} the server's: set it right`;
}
