/** HTML in which everything from outside is escaped: text becomes markup only by way of the tag `html`. */
import { excerpt } from '../platform/escape.ts';

/** Markup. Nothing but `html` and `raw` makes it. */
export class Html {
  readonly markup: string;

  constructor(markup: string) {
    this.markup = markup;
  }
}

export type Content = Html | string | number | null | readonly Content[];

/** A template whose values are text, and escaped, unless they are markup. Attributes must be in double quotes. */
export function html(parts: TemplateStringsArray, ...values: readonly Content[]): Html {
  return new Html(parts.map((part, index) => part + markupOf(values[index] ?? null)).join(''));
}

function markupOf(content: Content): string {
  if (content === null) return '';
  if (content instanceof Html) return content.markup;
  if (typeof content === 'string') return escapeHtml(content);
  if (typeof content === 'number') return String(content);
  return content.map(markupOf).join('');
}

/** What no page shows whole. */
const MAX_TEXT = 4000;

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Control characters are shown as `\uXXXX` too: text browsers run in terminals. Line feeds stay. */
function escapeHtml(text: string): string {
  return text
    .slice(0, MAX_TEXT)
    .split('\n')
    .map((line) => excerpt(line, MAX_TEXT))
    .join('\n')
    .replace(/[&<>"']/g, (character) => entities[character] ?? '');
}

/** The text, cut after so many characters. */
export function cut(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}
