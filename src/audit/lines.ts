/** Chunks of bytes to blocks of whole lines, and blocks to the decisions in them that are asked for. */
import {
  type DecisionRecord,
  decisionOf,
  type LoggedDecision,
  type Outcome,
  parseDecision,
  timeOf,
} from './decision.ts';
import type { Matcher } from './selection.ts';

/** A longer line is none of ours. */
const MAX_LINE = 1024 * 1024;

/** Puts the chunks of one file together to blocks of whole lines. */
export class LineBlocks {
  #rest: Buffer = Buffer.alloc(0);
  #isSkipping = false;
  /** Lines that were too long. */
  skipped = 0;

  /** The whole lines that are there now, each with its line end; empty where there are none. */
  push(chunk: Buffer): Buffer {
    const end = chunk.lastIndexOf(LINE_FEED) + 1;
    if (end === 0) {
      this.#keep(Buffer.concat([this.#rest, chunk]));
      return Buffer.alloc(0);
    }
    const from = this.#isSkipping ? chunk.indexOf(LINE_FEED) + 1 : 0;
    const whole = chunk.subarray(from, end);
    const block = this.#rest.length === 0 ? whole : Buffer.concat([this.#rest, whole]);
    this.#isSkipping = false;
    this.#rest = Buffer.alloc(0);
    // A copy: the chunk's memory is used again.
    this.#keep(Buffer.from(chunk.subarray(end)));
    return block;
  }

  /** What is left at the end: a line without its end, or nothing. */
  end(): Buffer {
    const rest = this.#rest;
    this.#rest = Buffer.alloc(0);
    return rest;
  }

  #keep(rest: Buffer): void {
    if (this.#isSkipping) return;
    this.#rest = rest;
    if (rest.length <= MAX_LINE) return;
    this.#rest = Buffer.alloc(0);
    this.#isSkipping = true;
    this.skipped += 1;
  }
}

/** What was looked through. */
export class Searched {
  lines = 0;
  /** Lines that are no JSON: half a line after a power cut, or no log. */
  unreadable = 0;
  /** The times of the first and the last line that could be told, in epoch milliseconds. */
  first: number | null = null;
  last: number | null = null;

  see(time: number | null): void {
    if (time === null) return;
    if (this.first === null || time < this.first) this.first = time;
    if (this.last === null || time > this.last) this.last = time;
  }
}

/** A line of a decision that is asked for. It is parsed when it is needed: of many lines only the last are shown. */
export class Match {
  /** As it was read. */
  readonly line: string;
  #record: DecisionRecord | null;

  constructor(line: string, record: DecisionRecord | null = null) {
    this.line = line;
    this.#record = record;
  }

  /** Epoch milliseconds. */
  get time(): number {
    return this.#record === null ? (timeIn(this.line) ?? this.decision?.time ?? 0) : timeOf(this.#record);
  }

  /** Null where the line looked like one of ours and is none. */
  get decision(): LoggedDecision | null {
    this.#record ??= parseOrNull(this.line);
    return this.#record === null ? null : decisionOf(this.#record);
  }
}

/** The matches in a block of whole lines. A line is parsed only where its bytes do not decide. */
export function searchBlock(block: Buffer, matcher: Matcher, searched: Searched): Match[] {
  const { needle } = matcher;
  const found: Match[] = [];
  let next = needle === null ? 0 : block.indexOf(needle);
  for (let at = 0; at < block.length; ) {
    const feed = block.indexOf(LINE_FEED, at);
    const end = feed === -1 ? block.length : feed;
    if (needle !== null && next !== -1 && next < at) next = block.indexOf(needle, at);
    const hasNeedle = needle === null || (next !== -1 && next < end);
    if (end > at) searchLine(block, at, end, hasNeedle, matcher, searched, found);
    at = end + 1;
  }
  searched.see(timeIn(headAt(block, 0)));
  searched.see(timeIn(headAt(block, block.lastIndexOf(LINE_FEED, Math.max(0, block.length - 2)) + 1)));
  return found;
}

function searchLine(
  block: Buffer,
  at: number,
  end: number,
  hasNeedle: boolean,
  matcher: Matcher,
  searched: Searched,
  found: Match[],
): void {
  searched.lines += 1;
  if (block[at] !== OPEN || !endsWithBrace(block, end)) {
    searched.unreadable += 1;
    return;
  }
  const outcome = outcomeAtEnd(block, end);
  if (!hasNeedle || (outcome !== null && !hasOutcome(outcome, matcher))) return;
  const { sinceText, untilText, texts } = matcher;
  const line = block.toString('utf8', at, end);
  if (outcome !== null && line.lastIndexOf(BEGINNING) === 0) {
    const time = timeTextOf(line);
    if (time !== null) {
      // Texts of this form are in the order of the times.
      if ((sinceText !== null && time < sinceText) || (untilText !== null && time >= untilText)) return;
      const claims = texts === null ? -1 : line.indexOf(CLAIMS);
      if (texts !== null && claims !== -1) {
        if (texts.every((text) => isBefore(line, text, claims))) found.push(new Match(line));
        return;
      }
    }
  }
  const match = parseLine(line, searched);
  if (match !== null && isMatch(match.record, matcher)) found.push(new Match(match.line, match.record));
}

/** Whether a decision is one of those asked for. */
export function isMatch(record: DecisionRecord, matcher: Matcher): boolean {
  const { since, until, matches } = matcher;
  const { outcome } = record;
  const time = since === null && until === null ? 0 : timeOf(record);
  if ((since !== null && time < since) || (until !== null && time >= until)) return false;
  return hasOutcome(outcome, matcher) && (matches === null || matches(record));
}

function hasOutcome(outcome: Outcome, { outcome: wanted }: Matcher): boolean {
  return wanted === null || (outcome === 'issued') === (wanted === 'issued');
}

/** How our lines end: the log writes the message last. Others are parsed. */
const endings = (['issued', 'refused', 'failed'] as const).map(
  (outcome) => [outcome, Buffer.from(`,"message":"${outcome}"}`)] as const,
);

function outcomeAtEnd(block: Buffer, end: number): Outcome | null {
  for (const [outcome, bytes] of endings)
    if (end > bytes.length && block.compare(bytes, 0, bytes.length, end - bytes.length, end) === 0)
      return outcome;
  return null;
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const OPEN = 0x7b;
const CLOSE = 0x7d;

function endsWithBrace(block: Buffer, end: number): boolean {
  const last = block[end - 1];
  return last === CLOSE || (last === CARRIAGE_RETURN && block[end - 2] === CLOSE);
}

const CLAIMS = ',"claims":';

/** Whether the text is in the line, and not behind `end`. */
function isBefore(line: string, text: string, end: number): boolean {
  const at = line.indexOf(text);
  return at !== -1 && at < end;
}

/** How each of our lines begins. */
const BEGINNING = '{"level":"';

interface ParsedLine {
  readonly line: string;
  readonly record: DecisionRecord;
}

function parseLine(line: string, searched: Searched): ParsedLine | null {
  try {
    return parsedOf(line);
  } catch {
    searched.unreadable += 1;
  }
  // Half a line, and behind it on the same line the first one after a restart.
  const at = line.lastIndexOf(BEGINNING);
  if (at <= 0) return null;
  try {
    return parsedOf(line.slice(at));
  } catch {
    return null;
  }
}

function parsedOf(line: string): ParsedLine | null {
  const record = parseDecision(line);
  return record === null ? null : { line, record };
}

function parseOrNull(line: string): DecisionRecord | null {
  try {
    return parseDecision(line);
  } catch {
    return null;
  }
}

const TIME = '"time":"';
const ISO_LENGTH = '2026-11-29T14:30:05.123Z'.length;

function headAt(block: Buffer, at: number): string {
  return block.toString('latin1', at, at + 100);
}

function timeTextOf(line: string): string | null {
  const from = line.indexOf(TIME);
  if (from === -1 || from > 50) return null;
  const text = line.substring(from + TIME.length, from + TIME.length + ISO_LENGTH);
  return text.endsWith('Z') ? text : null;
}

function timeIn(line: string): number | null {
  const time = Date.parse(timeTextOf(line) ?? '');
  return Number.isNaN(time) ? null : time;
}
