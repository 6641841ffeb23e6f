/** Mistakes in a configuration: each with where it stands, what was found and what is allowed; all at once. */
import { escapeText } from '../platform/escape.ts';

export interface Mistake {
  /** The file, or `environment`. */
  readonly source: string;
  /** From 1; null where the mistake has no place in a text. */
  readonly line: number | null;
  readonly column: number | null;
  /** The key, dotted; empty for the document as a whole. */
  readonly key: string;
  /** What is wrong and what is allowed, in one line, without a secret. */
  readonly message: string;
}

/** Nothing starts half-configured: exit 78. */
export class ConfigurationFault extends Error {
  readonly mistakes: readonly Mistake[];

  constructor(mistakes: readonly Mistake[]) {
    super(mistakes.map(formatMistake).join('\n'));
    this.name = 'ConfigurationFault';
    this.mistakes = mistakes;
  }
}

/** `file:line:column: key: message`, the form that editors and terminals make a link of. */
export function formatMistake(mistake: Mistake): string {
  const { line, key, message } = mistake;
  const place = line === null ? mistake.source : formatPlace(mistake);
  const text = key === '' ? `${place}: ${message}` : `${place}: ${key}: ${message}`;
  return escapeText(text);
}

/** `file:line:column`, or the variable where the value comes from the environment. */
export function formatPlace({ source, line, column, key }: Mistake): string {
  if (line === null) return key === '' ? source : `${source} ${key}`;
  return `${source}:${line}:${column ?? 1}`;
}
