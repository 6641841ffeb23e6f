/** Lines that are written some at a time: a write costs more than the line. */

export interface LineBatch {
  readonly write: (line: string) => void;
  /** Passes on what waits: at the end, and before anything else is written to the same place. */
  readonly flush: () => void;
}

const MAX_WAIT_MS = 20;
const MAX_LENGTH = 64 * 1024;

/** A line waits for at most 20 ms, and no more than 64 KiB wait. */
export function createLineBatch(write: (lines: string) => void): LineBatch {
  let waiting = '';
  let timer: ReturnType<typeof setTimeout> | null = null;
  const flush = () => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    if (waiting === '') return;
    const lines = waiting;
    waiting = '';
    write(lines);
  };
  return {
    flush,
    write: (line) => {
      waiting += line;
      if (waiting.length >= MAX_LENGTH) flush();
      else timer ??= setTimeout(flush, MAX_WAIT_MS);
    },
  };
}
