/** A YAML document that knows the place of every key and value: a path becomes a line and a column. */
import {
  type Document,
  isAlias,
  isCollection,
  isMap,
  isNode,
  isPair,
  isScalar,
  LineCounter,
  type Node,
  parseDocument,
  type YAMLMap,
} from 'yaml';
import { ConfigurationFault, formatMistake, type Mistake } from './mistakes.ts';
import { findPlain, type PlainNode, readPlainYaml } from './plain-yaml.ts';
import { explainSyntaxError, quote, type SyntaxFault } from './syntax-errors.ts';
import { type KeyPath, type Place, placeAt } from './text.ts';

export interface ConfigurationDocument {
  readonly source: string;
  /** The document as plain values; null for an empty one. */
  readonly value: unknown;
  /** The place of the value at this path; if it is not there, of the innermost value that would hold it. */
  readonly placeOf: (path: KeyPath) => Place;
  /** The place of the last key of this path. */
  readonly placeOfKey: (path: KeyPath) => Place;
  /** The keys of the mapping at this path, in the order of the text, which an object does not keep for names like "7". */
  readonly keysOf: (path: KeyPath) => string[];
}

/** How often YAML aliases may be expanded: enough for reuse, too little to explode. */
const MAX_ALIASES = 100;

const UNKNOWN_ALIAS = `is not valid YAML: alias without an anchor; ${quote('*')}`;

/**
 * Parses YAML 1.2. Throws ConfigurationFault with every syntax error, double key, unknown alias and exploding
 * alias.
 */
export function parseConfigurationDocument(text: string, source: string): ConfigurationDocument {
  const plain = readPlainYaml(text);
  return plain === null ? parseWithYaml(text, source) : documentOf(plain, text, source);
}

function documentOf(root: PlainNode, text: string, source: string): ConfigurationDocument {
  return {
    source,
    value: root.value,
    placeOf: (path) => placeAt(text, findPlain(root, path).node.at),
    placeOfKey: (path) => {
      const { node, key } = findPlain(root, path);
      return placeAt(text, key ?? node.at);
    },
    keysOf: (path) => [...(findPlain(root, path).node.members?.keys() ?? [])].map(String),
  };
}

/** The same by the yaml package alone: for everything that `readPlainYaml` leaves to it, and for tests. */
export function parseWithYaml(text: string, source: string): ConfigurationDocument {
  const lineCounter = new LineCounter();
  // yaml's own warnings would go to standard error and quote the text; its search for double keys takes the square of
  // their number.
  const options = { prettyErrors: false, uniqueKeys: false, strict: true, logLevel: 'error' } as const;
  const document = parseDocument(text, { ...options, lineCounter });
  const place = (offset: number): Place => {
    const { line, col } = lineCounter.linePos(offset);
    return { line, column: col };
  };
  const { unknownAliases, doubleKeys, droppedKeys } = inspect(document);
  const faults = onePerLine(document, text).map((fault) => ({ ...fault, key: '' }));
  if (faults.length + doubleKeys.length === 0)
    for (const at of unknownAliases) faults.push({ at, message: UNKNOWN_ALIAS, key: '' });
  for (const at of doubleKeys)
    faults.push({
      at,
      message: 'is set twice in the same mapping',
      key: /^[\w.-]{1,64}/.exec(text.slice(at, at + 64))?.[0] ?? '',
    });
  for (const at of droppedKeys)
    faults.push({ at, message: 'is a name that cannot be used here', key: DROPPED });
  const mistakes = faults
    .sort((a, b) => a.at - b.at)
    .map(({ at, message, key }) => ({ source, ...place(at), key, message }));
  if (mistakes.length > 0) throw new ConfigurationFault(withoutRepetition(mistakes));
  const nodeAt = (path: KeyPath): Node | null => {
    const node = path.length === 0 ? document.contents : document.getIn(path, true);
    return typeof node === 'object' && node !== null && 'range' in node ? (node as Node) : null;
  };
  const placeOf = (path: KeyPath): Place => {
    for (let length = path.length; length >= 0; length -= 1) {
      const range = nodeAt(path.slice(0, length))?.range;
      if (range) return place(range[0]);
    }
    return { line: 1, column: 1 };
  };
  return {
    source,
    value: toPlainValue(document, source),
    placeOf,
    placeOfKey: (path) => {
      const parent = nodeAt(path.slice(0, -1));
      const pair = isMap(parent)
        ? parent.items.find(
            (item) => isPair(item) && isScalar(item.key) && String(item.key.value) === path.at(-1),
          )
        : undefined;
      const range = isScalar(pair?.key) ? pair.key.range : undefined;
      return range ? place(range[0]) : placeOf(path);
    },
    keysOf: (path) => {
      const node = nodeAt(path);
      return isMap(node) ? node.items.map(({ key }) => String(isScalar(key) ? key.value : key)) : [];
    },
  };
}

/** The schema would silently drop a key of this name: a rule would lose its condition. */
const DROPPED = '__proto__';

interface Findings {
  /** Where the aliases stand that no anchor before them explains. */
  readonly unknownAliases: readonly number[];
  /** Where the keys stand that their mapping had before. */
  readonly doubleKeys: readonly number[];
  /** Where keys stand that would get lost. */
  readonly droppedKeys: readonly number[];
}

function inspect(document: Document): Findings {
  const anchors = new Set<string>();
  const unknownAliases: number[] = [];
  const doubleKeys: number[] = [];
  const droppedKeys: number[] = [];
  for (const node of nodesOf(document)) {
    if (isAlias(node)) {
      if (!anchors.has(node.source)) unknownAliases.push(node.range?.[0] ?? 0);
    } else if (node.anchor !== undefined) anchors.add(node.anchor);
    if (!isMap(node)) continue;
    doubleKeys.push(...doubleKeysOf(node));
    for (const { key } of node.items)
      if (isScalar(key) && key.value === DROPPED) droppedKeys.push(key.range?.[0] ?? 0);
  }
  return { unknownAliases, doubleKeys, droppedKeys };
}

function doubleKeysOf({ items }: YAMLMap): number[] {
  const seen = new Set<unknown>();
  return items.flatMap(({ key }) => {
    if (!isScalar(key)) return [];
    const isDouble = seen.has(key.value);
    seen.add(key.value);
    return isDouble ? [key.range?.[0] ?? 0] : [];
  });
}

/** In the order of the text, however deep: yaml's own visitor takes the square of the depth. */
function* nodesOf(document: Document): Generator<Node, void> {
  const ahead: unknown[] = [document.contents];
  while (ahead.length > 0) {
    const next = ahead.pop();
    if (isPair(next)) ahead.push(next.value, next.key);
    else if (isNode(next)) {
      yield next;
      if (isCollection(next)) ahead.push(...next.items.toReversed());
    }
  }
}

/** What comes later on a line is mostly a consequence of what comes first. */
function onePerLine({ errors, warnings }: Document.Parsed, text: string): SyntaxFault[] {
  const lines = new Set<number>();
  return [...errors, ...warnings]
    .map((error) => explainSyntaxError(error, text))
    .sort((a, b) => a.at - b.at)
    .filter(({ at }) => {
      const line = text.lastIndexOf('\n', at - 1);
      return !lines.has(line) && lines.add(line);
    });
}

/** One unclosed bracket of many is as many errors at one place. */
function withoutRepetition(mistakes: readonly Mistake[]): Mistake[] {
  const seen = new Map(mistakes.map((mistake) => [formatMistake(mistake), mistake]));
  return [...seen.values()];
}

function toPlainValue(document: Document, source: string): unknown {
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch {
    const message = `uses YAML aliases that expand to more than ${MAX_ALIASES} nodes`;
    throw new ConfigurationFault([{ source, line: 1, column: 1, key: '', message }]);
  }
}
