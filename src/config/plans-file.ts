/** `plansPath`: further plans in a JSON file that a program writes. */
import type { ConfigurationDocument } from '../document/document.ts';
import { explainIssue, formatKey } from '../document/issues.ts';
import { parseJsonDocument } from '../document/json-document.ts';
import { ConfigurationFault, type Mistake } from '../document/mistakes.ts';
import type { KeyPath, Place } from '../document/text.ts';
import { decodeText } from '../document/text.ts';
import { type Plans, plansSchema } from './schema.ts';

export interface PlansFile {
  readonly file: string;
  /** In the order of the file; empty where it has mistakes. */
  readonly plans: ReadonlyMap<string, Plans[string]>;
  readonly mistakes: readonly Mistake[];
  /** Where a key of one of these plans stands: `['plans', 'pro', 'catalog']`. */
  readonly placeOfKey: (path: KeyPath) => Place;
}

/** A program that writes one faulty plan writes many: some are enough. */
const MOST_MISTAKES = 50;

/** Reads and checks the plans. Never throws: the mistakes are reported beside those of the configuration itself. */
export function readPlansFile(bytes: Uint8Array, file: string): PlansFile {
  let document: ConfigurationDocument;
  try {
    document = parseJsonDocument(decodeText(bytes, file), file);
  } catch (cause) {
    if (!(cause instanceof ConfigurationFault)) throw cause;
    return emptyPlansFile(file, cause.mistakes.map(inPlans));
  }
  const placeOfKey = (path: KeyPath) => document.placeOfKey(path.slice(1));
  const mistakeAt = (path: KeyPath, message: string): Mistake => ({
    source: file,
    ...document.placeOfKey(path),
    key: formatKey(['plans', ...path]),
    message,
  });
  const result = plansSchema.safeParse(document.value, { reportInput: true });
  if (result.success) return { file, plans: inOrder(result.data, document, []), mistakes: [], placeOfKey };
  const { issues } = result.error;
  const mistakes = issues
    .slice(0, MOST_MISTAKES)
    .flatMap((issue) => explainIssue(issue, { schema: plansSchema, holdsSecret: () => false, mistakeAt }));
  if (issues.length > MOST_MISTAKES)
    mistakes.push(mistakeAt([], `has ${issues.length - MOST_MISTAKES} more mistakes`));
  return emptyPlansFile(file, mistakes);
}

function inPlans(mistake: Mistake): Mistake {
  return mistake.key === '' ? mistake : { ...mistake, key: `plans.${mistake.key}` };
}

/** A file of which nothing is taken. */
export function emptyPlansFile(file: string, mistakes: readonly Mistake[]): PlansFile {
  return { file, plans: new Map(), mistakes, placeOfKey: () => ({ line: 1, column: 1 }) };
}

/** Plans in the order in which they stand at this path; then those that do not stand there. */
export function inOrder(
  plans: Plans,
  document: ConfigurationDocument,
  path: KeyPath,
): Map<string, Plans[string]> {
  const entries = Object.entries(plans);
  // An object keeps the order of its keys, except that whole numbers come first.
  if (!entries.some(([name]) => /^\d+$/.test(name))) return new Map(entries);
  const places = new Map(document.keysOf(path).map((name, index) => [name, index]));
  const placeOf = (name: string) => places.get(name) ?? places.size;
  return new Map(entries.toSorted(([a], [b]) => placeOf(a) - placeOf(b)));
}
