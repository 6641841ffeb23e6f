/** A YAML document with the places of its keys: what turns a path into file, line and column. */
import { isMap, isPair, isScalar, LineCounter, type Node, parseDocument } from 'yaml';
import { ConfigurationFault, type Mistake } from './mistakes.ts';

export type KeyPath = readonly (string | number)[];

export interface Place {
  readonly line: number;
  readonly column: number;
}

export interface ConfigurationDocument {
  readonly source: string;
  /** The document as plain values; null for an empty one. */
  readonly value: unknown;
  /** Where the value of this path stands, or what would hold it. */
  readonly placeOf: (path: KeyPath) => Place;
  /** Where the last key of this path stands. */
  readonly placeOfKey: (path: KeyPath) => Place;
}

/** How often YAML aliases may be expanded: enough for reuse, too little to explode. */
const MAX_ALIASES = 100;

/** Parses YAML 1.2. Throws ConfigurationFault with every syntax error, double key and exploding alias. */
export function parseConfigurationDocument(text: string, source: string): ConfigurationDocument {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false, uniqueKeys: true, strict: true });
  const place = (offset: number): Place => {
    const { line, col } = lineCounter.linePos(offset);
    return { line, column: col };
  };
  const faults: Mistake[] = [...document.errors, ...document.warnings].map(({ message, pos }) => ({
    source,
    ...place(pos[0]),
    key: '',
    message: `is not valid YAML: ${message}`,
  }));
  if (faults.length > 0) throw new ConfigurationFault(faults);
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
  };
}

function toPlainValue(document: ReturnType<typeof parseDocument>, source: string): unknown {
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch {
    const message = `uses YAML aliases that expand to more than ${MAX_ALIASES} nodes`;
    throw new ConfigurationFault([{ source, line: 1, column: 1, key: '', message }]);
  }
}
