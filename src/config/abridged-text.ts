/** A text without some of its lines, and which line was which. */
import { countLines } from './plain-lines.ts';

/** Whole lines that are left out. */
export interface Cut {
  readonly from: number;
  readonly to: number;
  /** How many lines of the text are before it, and how many it has. */
  readonly line: number;
  readonly lines: number;
  /** What stands there instead: one line, or nothing. */
  readonly replacement: string;
}

export interface AbridgedText {
  readonly text: string;
  /** Which line a line of the text is in the original, both from 1. */
  readonly originalLine: (line: number) => number;
  /** The line, from 1, in which the replacement of a cut stands. */
  readonly lineOf: ReadonlyMap<Cut, number>;
}

/** Lines of a text: a range of bytes, and how many lines are before it. */
export interface Lines {
  readonly from: number;
  readonly to: number;
  readonly line: number;
}

/** Leaves the cuts out of these lines, in the order in which they stand there. */
export function abridge(text: Buffer, lines: Lines, cuts: readonly Cut[]): AbridgedText {
  const pieces: string[] = [];
  const lineOf = new Map<Cut, number>();
  // The first line of each piece, and which it is in the original.
  const starts: number[] = [];
  const originals: number[] = [];
  let at = lines.from;
  let line = 1;
  let original = lines.line + 1;
  const keep = (to: number) => {
    if (to === at) return;
    starts.push(line);
    originals.push(original);
    pieces.push(text.toString('utf8', at, to));
    line += countLines(text, at, to);
  };
  for (const cut of cuts) {
    keep(cut.from);
    lineOf.set(cut, line);
    if (cut.replacement !== '') {
      starts.push(line);
      originals.push(cut.line + 1);
      pieces.push(cut.replacement);
      line += 1;
    }
    at = cut.to;
    original = cut.line + cut.lines + 1;
  }
  keep(lines.to);
  const originalLine = (asked: number) => {
    const index = lastAtMost(starts, asked);
    return (originals[index] ?? lines.line + 1) + asked - (starts[index] ?? 1);
  };
  return { text: pieces.join(''), originalLine, lineOf };
}

/** The index of the last number that is at most so large; the numbers rise. */
function lastAtMost(numbers: readonly number[], limit: number): number {
  let low = 0;
  let high = numbers.length;
  while (low + 1 < high) {
    const middle = (low + high) >> 1;
    if ((numbers[middle] ?? 0) <= limit) low = middle;
    else high = middle;
  }
  return low;
}
