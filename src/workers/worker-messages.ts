/**
 * What the main thread and a worker say to each other: plain values, copied from one to the other. `Setup` is all that
 * a worker is made of, `News` what may reach it later; what is in them the server does not know.
 */

export type ToWorker<Setup, News> =
  | { readonly kind: 'start'; readonly setup: Setup }
  /** Answered by `done`. */
  | { readonly kind: 'change'; readonly id: number; readonly setup: Setup }
  | { readonly kind: 'ping'; readonly id: number }
  | { readonly kind: 'news'; readonly news: News }
  /** To an `ask`: exactly one of `answer` and `fault` is there. */
  | { readonly kind: 'answer'; readonly id: number; readonly answer?: unknown; readonly fault?: string }
  | { readonly kind: 'stop'; readonly graceMs: number };

/** What the main thread alone writes to. */
export type LineTarget = 'log' | 'audit';

export type FromWorker<Question> =
  | { readonly kind: 'listening'; readonly url: string; readonly port: number }
  | { readonly kind: 'not-started'; readonly fault: string }
  | { readonly kind: 'done'; readonly id: number; readonly fault: string | null }
  | { readonly kind: 'ask'; readonly id: number; readonly question: Question }
  /** Whole lines. */
  | { readonly kind: 'lines'; readonly to: LineTarget; readonly lines: string }
  | { readonly kind: 'stopped' };
