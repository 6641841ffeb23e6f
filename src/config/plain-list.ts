/** A list of rules in the plain shape: where it stands, and its rules in the table. */
import { findPatternFault } from '../authorize/pattern.ts';
import type { RuleWriter } from '../authorize/rule-writer.ts';
import type { RuleRange } from '../authorize/rules.ts';
import { countLines, DASH, indentAt, isEmptyLine, isOddLine, nextLine } from './plain-lines.ts';
import { type PlainRule, parseActions, readPlainRule } from './plain-rules.ts';

/** The number of actions of which one is not allowed. */
const FAULTY = -1;

/** A list of rules, each plain. */
export interface PlainList {
  /** Its lines: the first byte, and the one after the last rule. */
  readonly from: number;
  readonly to: number;
  /** How many lines are before it, and how many it has. */
  readonly line: number;
  readonly lines: number;
  /** Spaces before the key that holds it, and before its dashes. */
  readonly keyIndent: number;
  readonly indent: number;
  readonly range: RuleRange;
  /** The rules with a pattern or an action that is not allowed, by number. */
  readonly faulty: readonly number[];
}

/**
 * Reads the list whose first line begins at a byte, with so many lines before it, under a key with so many spaces before
 * it; null, and nothing written, where it is not plain.
 */
export type ReadPlainList = (from: number, line: number, keyIndent: number) => PlainList | null;

/** Reads lists of this text, and writes their rules. */
export function plainListReader(text: Buffer, writer: RuleWriter): ReadPlainList {
  const readActions = actionsReader(text, writer);
  return (from, line, keyIndent) => readList(text, from, line, keyIndent, writer, readActions);
}

function readList(
  text: Buffer,
  from: number,
  line: number,
  keyIndent: number,
  writer: RuleWriter,
  readActions: (rule: PlainRule) => number | null,
): PlainList | null {
  const first = writer.length;
  const faulty: number[] = [];
  const giveUp = () => {
    writer.truncate(first);
    return null;
  };
  let indent = -1;
  let to = from;
  for (let at = from; at < text.length; ) {
    const own = indentAt(text, at);
    if (isEmptyLine(text, at + own)) {
      at = nextLine(text, at);
      continue;
    }
    // YAML may see the list go on after it.
    if (isOddLine(text, at + own)) return giveUp();
    const isRule = text[at + own] === DASH && own >= keyIndent;
    if (indent === -1 && isRule) indent = own;
    if (own < keyIndent || (own === keyIndent && !isRule)) break;
    const rule = isRule && own === indent ? readPlainRule(text, at, indent) : null;
    const actions = rule === null ? null : readActions(rule);
    if (rule === null || actions === null) {
      return giveUp();
    }
    const { patternFrom, patternTo } = rule;
    if (actions === FAULTY || findPatternFault(text, patternFrom, patternTo) !== null)
      faulty.push(writer.length - first);
    writer.add(text, patternFrom, patternTo, Math.max(actions, 0));
    at = rule.to;
    to = rule.to;
  }
  if (indent === -1) return null;
  const range = { first, length: writer.length - first };
  return { from, to, line, lines: countLines(text, from, to), keyIndent, indent, range, faulty };
}

/** The lines of one rule of a list. */
export function findPlainRule(text: Buffer, { from, to, indent }: PlainList, index: number): PlainRule {
  let number = 0;
  for (let at = from; at < to; ) {
    const isEmpty = isEmptyLine(text, at + indentAt(text, at));
    const rule = isEmpty ? null : readPlainRule(text, at, indent);
    if (rule !== null && number === index) return rule;
    if (rule !== null) number += 1;
    at = rule?.to ?? nextLine(text, at);
  }
  throw new RangeError(`There is no rule ${index}.`);
}

/** Reads a rule's actions to their number, FAULTY, or null where they are not plain. Most are like those before them. */
function actionsReader(text: Buffer, writer: RuleWriter): (rule: PlainRule) => number | null {
  const known = new Map<string, number | null>();
  let lastFrom = 0;
  let lastTo = -1;
  let lastNumber: number | null = null;
  return ({ actionsFrom, actionsTo }) => {
    if (isSame(text, lastFrom, lastTo, actionsFrom, actionsTo)) return lastNumber;
    const written = text.toString('latin1', actionsFrom, actionsTo);
    let number = known.get(written);
    if (number === undefined) {
      const actions = parseActions(written);
      const isAllowed = actions?.every((action) => /^(?:[a-z]+|\*)$/.test(action));
      number = actions === null ? null : isAllowed ? writer.numberOf(actions) : FAULTY;
      known.set(written, number);
    }
    [lastFrom, lastTo, lastNumber] = [actionsFrom, actionsTo, number];
    return number;
  };
}

function isSame(text: Buffer, from: number, to: number, otherFrom: number, otherTo: number): boolean {
  if (to - from !== otherTo - otherFrom) return false;
  for (let at = 0; at < to - from; at += 1) if (text[from + at] !== text[otherFrom + at]) return false;
  return true;
}
