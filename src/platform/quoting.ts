/** Text as a shell and as YAML take it for one value. */
import { escapeText } from './escape.ts';

/** One word of a POSIX shell: as it is where nothing in it is special, else in single quotes. */
export function shellWord(word: string): string {
  return /^[A-Za-z0-9_/.:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** A command line of these words. */
export function shellWords(words: readonly string[]): string {
  return words.map(shellWord).join(' ');
}

/** What YAML 1.1 (registry 2.8) or 1.2 takes for something else than text. */
const reserved = /^(?:y|n|yes|no|on|off|true|false|null)$/i;

/**
 * A text as a YAML scalar, in block and in flow style: a path, a name or a URL as it is where every reader of YAML takes
 * it for text, else in double quotes, as JSON.
 */
export function yamlText(text: string): string {
  const isPlain =
    /^(?:\.{0,2}\/|[A-Za-z])[\w./:@+-]*$/.test(text) && !text.endsWith(':') && !reserved.test(text);
  return isPlain ? text : escapeText(JSON.stringify(text));
}
