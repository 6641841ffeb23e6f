/** Writes a table of rules, one after another. Patterns were checked when they come here. */
import { encodePattern, parsePattern } from './pattern.ts';
import { type RuleRange, Rules, type RuleTable } from './rules.ts';

export class RuleWriter {
  #patterns: Uint8Array;
  #starts: Uint32Array;
  #actions: Uint32Array;
  #length = 0;
  readonly #actionLists: (readonly string[])[] = [];
  readonly #numbers = new Map<string, number>();

  /** `size` in bytes of the text that the rules come from: as much memory is reserved, and taken page by page. */
  constructor(size: number) {
    this.#patterns = shared(Uint8Array, size);
    this.#starts = shared(Uint32Array, size >> 4);
    this.#actions = shared(Uint32Array, size >> 4);
  }

  /** How many rules there are. */
  get length(): number {
    return this.#length;
  }

  /** The number by which `add` takes these actions. */
  numberOf(actions: readonly string[]): number {
    const key = actions.join();
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    this.#numbers.set(key, this.#actionLists.length);
    return this.#actionLists.push(actions) - 1;
  }

  /** Adds a rule: its pattern, text[from, to) in UTF-8, and the number of its actions. */
  add(text: Uint8Array, from: number, to: number, actions: number): void {
    const start = this.#starts[this.#length] ?? 0;
    const end = start + to - from;
    if (end > this.#patterns.length) this.#patterns = grown(this.#patterns, shared(Uint8Array, end * 2));
    if (this.#length + 1 >= this.#starts.length) {
      const size = (this.#length + 2) * 2;
      this.#starts = grown(this.#starts, shared(Uint32Array, size));
      this.#actions = grown(this.#actions, shared(Uint32Array, size));
    }
    for (let at = 0; at < to - from; at += 1) this.#patterns[start + at] = text[from + at] ?? 0;
    this.#actions[this.#length] = actions;
    this.#length += 1;
    this.#starts[this.#length] = end;
  }

  addAll(rules: Iterable<{ readonly pattern: string; readonly actions: readonly string[] }>): RuleRange {
    const first = this.#length;
    for (const { pattern, actions } of rules) {
      const text = encodePattern(pattern);
      this.add(text, 0, text.length, this.numberOf(actions));
    }
    return { first, length: this.#length - first };
  }

  /** Forgets the rules from this one on. */
  truncate(length: number): void {
    this.#length = length;
  }

  /** The table; nothing can be added after that. */
  finish(): RuleTable {
    return {
      patterns: this.#patterns.subarray(0, this.#starts[this.#length] ?? 0),
      starts: this.#starts.subarray(0, this.#length + 1),
      actions: this.#actions.subarray(0, this.#length),
      actionLists: this.#actionLists,
    };
  }
}

/** The rules of a plan of its own. Throws where a pattern has a fault. */
export function createRules(
  rules: readonly { readonly pattern: string; readonly actions: readonly string[] }[],
): Rules {
  const writer = new RuleWriter(0);
  const range = writer.addAll(rules);
  for (const { pattern } of rules) {
    const parsed = parsePattern(pattern);
    if ('fault' in parsed) throw new Error(`The pattern ${pattern} ${parsed.fault}.`);
  }
  return new Rules(writer.finish(), range);
}

function shared<Words>(
  Words: { new (buffer: SharedArrayBuffer): Words; readonly BYTES_PER_ELEMENT: number },
  length: number,
): Words {
  return new Words(new SharedArrayBuffer(Words.BYTES_PER_ELEMENT * length));
}

function grown<Words extends Uint8Array | Uint32Array>(words: Words, larger: Words): Words {
  larger.set(words);
  return larger;
}
