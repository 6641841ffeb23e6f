/**
 * The rules of all plans in a few arrays: a million of them take some 35 MB, cost the garbage collector nothing, and can
 * be shared by threads. What belongs to one rule is made of them when somebody asks for that rule.
 */
import { type ClaimTexts, matchesText } from './match.ts';
import { type Pattern, splitPattern } from './pattern.ts';

/** One entry of a plan's `repositories`: everything that matches adds up. */
export interface Rule {
  /** Its number in the plan, from 0. */
  readonly index: number;
  readonly pattern: Pattern;
  readonly actions: ReadonlySet<string>;
}

/** Plain values over SharedArrayBuffers: a structured clone in another thread is the same memory. */
export interface RuleTable {
  /** The patterns, one after another, in UTF-8. */
  readonly patterns: Uint8Array;
  /** Where each pattern starts, and after the last where it ends. */
  readonly starts: Uint32Array;
  /** Of each rule, which of `actionLists` it has. */
  readonly actions: Uint32Array;
  readonly actionLists: readonly (readonly string[])[];
}

/** Which rules of a table are a plan's: so many from one on. */
export interface RuleRange {
  readonly first: number;
  readonly length: number;
}

/** The rules of one plan. */
export class Rules {
  readonly length: number;
  readonly #table: RuleTable;
  readonly #first: number;

  constructor(table: RuleTable, { first, length }: RuleRange) {
    this.#table = table;
    this.#first = first;
    this.length = length;
  }

  /** The numbers of the rules whose patterns match. */
  matching(name: string, claims: ClaimTexts): number[] {
    const { patterns, starts } = this.#table;
    const found: number[] = [];
    let from = starts[this.#first] ?? 0;
    for (let index = 0; index < this.length; index += 1) {
      const to = starts[this.#first + index + 1] ?? 0;
      if (matchesText(patterns, from, to, name, claims)) found.push(index);
      from = to;
    }
    return found;
  }

  /** Whether the actions of a rule have this one, or all. */
  allows(index: number, action: string): boolean {
    const actions = this.#actionsOf(index);
    return actions.includes(action) || actions.includes('*');
  }

  at(index: number): Rule {
    const { patterns, starts } = this.#table;
    const at = this.#first + index;
    // A copy: memory that threads share is not decoded.
    const text = patterns.slice(starts[at], starts[at + 1]);
    const source = Buffer.from(text).toString('utf8');
    const pattern = { source, segments: splitPattern(source) };
    return { index, pattern, actions: new Set(this.#actionsOf(index)) };
  }

  *each(): Generator<Rule, void> {
    for (let index = 0; index < this.length; index += 1) yield this.at(index);
  }

  #actionsOf(index: number): readonly string[] {
    const { actions, actionLists } = this.#table;
    return actionLists[actions[this.#first + index] ?? -1] ?? [];
  }
}
