/**
 * Where the plans of a configuration are, and their rules, as far as they are written plainly. Only a guess at the
 * structure of the text: `abridged-document.ts` asks YAML whether it is right.
 */
import type { RuleWriter } from '../authorize/rule-writer.ts';
import {
  countLines,
  indentAt,
  isAt,
  isEmptyLine,
  isOddLine,
  LINE_FEED,
  lineEnd,
  nextLine,
} from './plain-lines.ts';
import { type PlainList, plainListReader, type ReadPlainList } from './plain-list.ts';

export interface PlainPlan {
  /** null where it is not plain: YAML knows. */
  readonly name: string | null;
  readonly from: number;
  readonly to: number;
  readonly line: number;
  readonly lines: number;
  /** The lines beside name and rules; null where they are not plain. Plans that are alike in it mean the same. */
  readonly head: string | null;
  readonly list: PlainList | null;
}

const PLANS = Buffer.from('plans:');
const REPOSITORIES = Buffer.from('repositories:');
const NAME = /^ *(?:([A-Za-z][\w.-]*)|"([A-Za-z0-9][\w.-]*)"|'([A-Za-z0-9][\w.-]*)'):(?: *| +#.*)$/;
const WORD = /^(?:null|true|false|yes|no|on|off|y|n)$/i;
const HEAD = /^ +[A-Za-z]+:(?: +[A-Za-z0-9.:_-]+| +"[A-Za-z0-9.:_-]*")? *(?: #.*)?$/;
/** No line of a plan that is looked at as a text is longer. */
const MAX_LINE = 1000;

export interface PlainPlans {
  /** In their order. */
  readonly plans: readonly PlainPlan[];
  /** Whether the section ends where they do: YAML cannot take a later line for one of a plan. */
  readonly areAll: boolean;
}

/** Finds the plans of a configuration. `isKept` tells of which plans the rules are not to be read. */
export function findPlainPlans(
  text: Buffer,
  writer: RuleWriter,
  isKept: (name: string | null) => boolean,
): PlainPlans {
  const section = findSection(text);
  if (section === null) return { plans: [], areAll: false };
  const readList = plainListReader(text, writer);
  const plans: PlainPlan[] = [];
  let { at, line } = section;
  let planIndent = 0;
  while (at < text.length) {
    const indent = indentAt(text, at);
    if (isEmptyLine(text, at + indent)) {
      at = nextLine(text, at);
      line += 1;
      continue;
    }
    if (planIndent === 0) planIndent = indent;
    // The end of the section, or a line that YAML may take for a blank one, or an indentation that it will not like.
    if (indent === 0 || indent !== planIndent) return { plans, areAll: indent === 0 && !isOddLine(text, at) };
    const plan = readPlan(text, at, line, planIndent, isKept, readList);
    plans.push(plan);
    at = plan.to;
    line += plan.lines;
  }
  return { plans, areAll: true };
}

/** The line after the first that is `plans:`, and how many lines are before it. */
function findSection(text: Buffer): { at: number; line: number } | null {
  for (let at = text.indexOf(PLANS); at !== -1; at = text.indexOf(PLANS, at + 1)) {
    const next = at === 0 || text[at - 1] === LINE_FEED ? lineEnd(text, at + PLANS.length) : -1;
    if (next !== -1) return { at: next, line: countLines(text, 0, next) };
  }
  return null;
}

function readPlan(
  text: Buffer,
  from: number,
  line: number,
  planIndent: number,
  isKept: (name: string | null) => boolean,
  readList: ReadPlainList,
): PlainPlan {
  const name = nameOf(lineAt(text, from));
  const kept = isKept(name);
  let head: string | null = kept ? null : '';
  let list: PlainList | null = null;
  let at = nextLine(text, from);
  let to = at;
  let count = 1;
  let lines = 1;
  while (at < text.length) {
    const indent = indentAt(text, at);
    if (!isEmptyLine(text, at + indent)) {
      if (indent <= planIndent) break;
      const next = isAt(text, at + indent, REPOSITORIES)
        ? lineEnd(text, at + indent + REPOSITORIES.length)
        : -1;
      const found: PlainList | null =
        next === -1 || kept || list !== null ? null : readList(next, line + count + 1, indent);
      if (found !== null) {
        if (head !== null) head += `${' '.repeat(indent)}\n`;
        list = found;
        count += 1 + found.lines;
        [at, to, lines] = [found.to, found.to, count];
        continue;
      }
      const written = head === null ? null : lineAt(text, at);
      head = written !== null && HEAD.test(written) ? `${head}${written}\n` : null;
      to = nextLine(text, at);
      lines = count + 1;
    }
    at = nextLine(text, at);
    count += 1;
  }
  return { name, from, to, line, lines, head, list };
}

function nameOf(line: string | null): string | null {
  const [, plain, double, single] = NAME.exec(line ?? '') ?? [];
  const name = plain ?? double ?? single;
  if (name === undefined || name.length > 64 || (plain !== undefined && WORD.test(plain))) return null;
  return name;
}

/** A line without its end; null where it is long or holds more than printable ASCII. */
function lineAt(text: Buffer, from: number): string | null {
  const line = text
    .toString('latin1', from, Math.min(nextLine(text, from), from + MAX_LINE))
    .replace(/\r?\n$/, '');
  return line.length < MAX_LINE && /^[ -~]*$/.test(line) ? line : null;
}
