/** Lines that are written some at a time: a write costs more than the line. */

export interface LineBatch {
  readonly write: (line: string) => void;
  /** Passes on what waits: at the end, and before anything else is written to the same place. */
  readonly flush: () => void;
}

const MAX_LENGTH = 64 * 1024;

/** What is written in one turn of the event loop goes out at its end, and no more than 64 KiB wait for that. */
export function createLineBatch(write: (lines: string) => void): LineBatch {
  let waiting = '';
  let turn: ReturnType<typeof setImmediate> | null = null;
  const flush = () => {
    if (turn !== null) clearImmediate(turn);
    turn = null;
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
      else turn ??= setImmediate(flush);
    },
  };
}
