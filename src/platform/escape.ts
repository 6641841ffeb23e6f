/** Text from outside (files, tokens, answers, environment), made safe to print on a terminal. */

/**
 * Escapes what could command a terminal, break a line, hide text or change its direction: control characters (C0, DEL,
 * C1), line and paragraph separators, format characters (bidirectional overrides, zero-width characters) and lone
 * surrogates, each as `\uXXXX`. Inside a JSON text the result is JSON of the same value.
 */
export function escapeText(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) =>
    Array.from(
      { length: character.length },
      (_, unit) => `\\u${character.charCodeAt(unit).toString(16).padStart(4, '0')}`,
    ).join(''),
  );
}

/** The same for a text that we divided into lines ourselves: its line feeds stay. */
export function escapeLines(text: string): string {
  return text.split('\n').map(escapeText).join('\n');
}

/** For text of any length: the first `length` characters, escaped, with `...` where more follows. */
export function excerpt(text: string, length = 300): string {
  return text.length > length ? `${escapeText(text.slice(0, length))}...` : escapeText(text);
}

const MAX_FOUND = 200;

/** A value of a JSON document from outside as a message shows it: as JSON, escaped and cut short, or "missing". */
export function found(value: unknown): string {
  return value === undefined ? 'missing' : excerpt(JSON.stringify(value), MAX_FOUND);
}
