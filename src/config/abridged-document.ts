/**
 * A configuration with thousands of plans or rules, read in the time that its text takes: what is plain is cut out and
 * read by `plain-rules.ts`, the rest is read as YAML. YAML also says whether the cuts were where they were taken to be:
 * a list of rules is replaced by an empty one, which must turn up as that of its plan; and of plans that are alike but
 * for names and rules, one is left standing for all.
 */
import { RuleWriter } from '../authorize/rule-writer.ts';
import type { RuleRange } from '../authorize/rules.ts';
import {
  type ConfigurationDocument,
  type KeyPath,
  type Place,
  parseConfigurationDocument,
} from '../document/document.ts';
import { ConfigurationFault } from '../document/mistakes.ts';
import { type AbridgedText, abridge, type Cut } from './abridged-text.ts';
import { countLines } from './plain-lines.ts';
import { findPlainRule, type PlainList } from './plain-list.ts';
import { findPlainPlans, type PlainPlan } from './plain-plans.ts';

export interface AbridgedDocument extends Pick<ConfigurationDocument, 'source' | 'value' | 'placeOfKey'> {
  /** The lists that were cut out, by their plans: in `value` they are empty. */
  readonly lists: ReadonlyMap<string, RuleRange>;
  /** What holds their rules; others can be added. */
  readonly rules: RuleWriter;
  /** Rules of those lists that have a mistake, as YAML reads them. */
  readonly faulty: readonly { readonly path: KeyPath; readonly value: unknown }[];
}

/** YAML takes a second for so many bytes: it reads a configuration that is no longer all by itself. */
const SHORT = 512 * 1024;

/** Of plans that are alike but for names and rules, one that stands for all. */
interface Shares {
  /** All plans, by name; of each the plan that stands for it, itself or another. */
  readonly models: ReadonlyMap<string, { readonly plan: PlainPlan; readonly model: string }>;
  readonly standing: readonly PlainPlan[];
  readonly cuts: readonly Cut[];
}

/**
 * Reads a configuration file. Throws ConfigurationFault as `parseConfigurationDocument` does. Rules of plans for which
 * `isKept` are left in `value`; it is asked with null about a plan whose name YAML alone knows. A text of no more than
 * `short` bytes is not abridged.
 */
export function readAbridgedDocument(
  text: Buffer,
  source: string,
  isKept: (name: string | null) => boolean,
  short = SHORT,
): AbridgedDocument {
  if (text.length <= short) return readWhole(text, source);
  const rules = new RuleWriter(text.length);
  const { plans, areAll } = findPlainPlans(text, rules, isKept);
  const shares = areAll ? share(plans) : null;
  const none = { models: new Map(), standing: plans, cuts: [] };
  // A mistake in YAML of a plan that stands for many would be told once: then all are left standing. And one before a cut
  // may make something else of what is cut out: then nothing is, where the text allows it.
  const read =
    (shares === null ? null : readCut(text, source, shares, true)) ??
    readCut(text, source, none, text.length <= SHORT);
  return read === null ? readWhole(text, source) : { ...read, rules };
}

function readWhole(text: Buffer, source: string): AbridgedDocument {
  const document = parseConfigurationDocument(text.toString('utf8'), source);
  return { ...document, lists: new Map(), rules: new RuleWriter(0), faulty: [] };
}

/** Null where a plan is not plain, and where two have one name: YAML tells where. */
function share(plans: readonly PlainPlan[]): Shares | null {
  const models = new Map<string, { readonly plan: PlainPlan; readonly model: string }>();
  const byHead = new Map<string, string>();
  const standing: PlainPlan[] = [];
  const cuts: Cut[] = [];
  for (const plan of plans) {
    const { name, head } = plan;
    if (name === null || head === null || models.has(name)) return null;
    const model = byHead.get(head);
    if (model === undefined) {
      byHead.set(head, name);
      standing.push(plan);
    } else cuts.push({ ...plan, replacement: '' });
    models.set(name, { plan, model: model ?? name });
  }
  return { models, standing, cuts };
}

type Read = Omit<AbridgedDocument, 'rules'>;

/**
 * Null where YAML does not find what was cut out in the place where it was taken to be, where there are aliases of it
 * perhaps, and, if so asked, where there is a mistake in YAML.
 */
function readCut(
  text: Buffer,
  source: string,
  { models, standing, cuts }: Shares,
  isNullWithFaults: boolean,
): Read | null {
  const listCuts = new Map(standing.flatMap(({ list }) => (list === null ? [] : [[cutOf(list), list]])));
  const all = [...cuts, ...listCuts.keys()].sort((a, b) => a.from - b.from);
  if (all.length === 0) return null;
  const abridged = abridge(text, { from: 0, to: text.length, line: 0 }, all);
  let document: ConfigurationDocument;
  try {
    document = parseConfigurationDocument(abridged.text, source);
  } catch (cause) {
    if (!(cause instanceof ConfigurationFault)) throw cause;
    if (isNullWithFaults) return null;
    const mistakes = cause.mistakes.map((mistake) => ({
      ...mistake,
      line: mistake.line === null ? null : abridged.originalLine(mistake.line),
    }));
    throw new ConfigurationFault(mistakes);
  }
  if (document.hasAliases) return null;
  const lists = confirm(document, abridged, listCuts);
  if (lists === null) return null;
  // YAML may see plans beyond what was taken for their end.
  if (models.size > 0 && countPlans(document.value) !== standing.length) return null;
  for (const { plan, model } of models.values()) {
    if (plan.name !== model) {
      if (plan.list !== null) lists.set(plan.name ?? '', plan.list);
    } else if (plan.list !== null && lists.get(model) !== plan.list) return null;
    else if (abridged.originalLine(document.placeOfKey(['plans', model]).line) !== plan.line + 1) return null;
  }
  const places = new Places(text, source, document, abridged, lists, models);
  return {
    source,
    value: withPlans(document.value, models),
    placeOfKey: (path) => places.placeOfKey(path),
    lists: new Map([...lists].map(([name, { range }]) => [name, range])),
    faulty: [...lists].flatMap(([name, list]) =>
      list.faulty.map((index) => ({
        path: ['plans', name, 'repositories', index],
        value: (places.ruleAt(list, index).document.value as readonly unknown[])[0],
      })),
    ),
  };
}

function countPlans(value: unknown): number {
  const { plans } = value as { readonly plans?: unknown };
  return typeof plans === 'object' && plans !== null ? Object.keys(plans).length : 0;
}

/** An empty list at a place where no other value begins. */
function cutOf(list: PlainList): Cut {
  return { ...list, replacement: `${' '.repeat(list.keyIndent + 1)}[]\n` };
}

/** The lists by the plans in which YAML finds what was put in their place; null where one is not found. */
function confirm(
  document: ConfigurationDocument,
  abridged: AbridgedText,
  cuts: ReadonlyMap<Cut, PlainList>,
): Map<string, PlainList> | null {
  const byLine = new Map([...cuts].map(([cut, list]) => [abridged.lineOf.get(cut), list]));
  const found = new Map<string, PlainList>();
  for (const [name, { line }] of document.emptyLists(['plans'], 'repositories')) {
    const list = byLine.get(line);
    if (list !== undefined) found.set(name, list);
  }
  return found.size === cuts.size ? found : null;
}

/** The file's content with the plans for which others stand, all in the order of the file. */
function withPlans(value: unknown, models: Shares['models']): unknown {
  if (models.size === 0) return value;
  const { plans, ...others } = value as { readonly plans: Readonly<Record<string, unknown>> };
  return {
    ...others,
    plans: Object.fromEntries([...models].map(([name, { model }]) => [name, plans[model]])),
  };
}

/** Where the keys of an abridged document stand in the whole text. */
class Places {
  readonly #text: Buffer;
  readonly #source: string;
  readonly #document: ConfigurationDocument;
  readonly #abridged: AbridgedText;
  readonly #lists: ReadonlyMap<string, PlainList>;
  readonly #models: Shares['models'];

  constructor(
    text: Buffer,
    source: string,
    document: ConfigurationDocument,
    abridged: AbridgedText,
    lists: ReadonlyMap<string, PlainList>,
    models: Shares['models'],
  ) {
    this.#text = text;
    this.#source = source;
    this.#document = document;
    this.#abridged = abridged;
    this.#lists = lists;
    this.#models = models;
  }

  placeOfKey(path: KeyPath): Place {
    const [section, name, key, index, ...rest] = path;
    if (section === 'plans' && typeof name === 'string') {
      const list = this.#lists.get(name);
      if (list !== undefined && key === 'repositories' && index !== undefined)
        return typeof index === 'number' && index < list.range.length
          ? this.ruleAt(list, index).placeOfKey([0, ...rest])
          : { line: this.#lineOfRule(list, 0) + 1, column: list.indent + 1 };
      const shared = this.#models.get(name);
      if (shared !== undefined && shared.model !== name) {
        const { plan } = shared;
        const cuts = plan.list === null ? [] : [cutOf(plan.list)];
        return this.#part(abridge(this.#text, plan, cuts)).placeOfKey(path.slice(1));
      }
    }
    const { line, column } = this.#document.placeOfKey(path);
    return { line: this.#abridged.originalLine(line), column };
  }

  /** One rule as YAML reads it: a list of one. */
  ruleAt(list: PlainList, index: number) {
    const { from, to } = findPlainRule(this.#text, list, index);
    return this.#part(abridge(this.#text, { from, to, line: this.#lineOfRule(list, index) }, []));
  }

  /** How many lines are before it. */
  #lineOfRule(list: PlainList, index: number): number {
    return list.line + countLines(this.#text, list.from, findPlainRule(this.#text, list, index).from);
  }

  #part(lines: AbridgedText) {
    const document = parseConfigurationDocument(lines.text, this.#source);
    return {
      document,
      placeOfKey: (path: KeyPath): Place => {
        const { line, column } = document.placeOfKey(path);
        return { line: lines.originalLine(line), column };
      },
    };
  }
}
