/** A report as JSON, and as a table for a terminal. */
import { escapeLines, escapeText } from '../platform/escape.ts';
import type { PartState, StatusPart, StatusReport } from './report.ts';

export function renderReportJson(report: unknown): string {
  return `${escapeLines(JSON.stringify(report, null, 2))}\n`;
}

/** Of ECMA-48: green, yellow, red. */
const colors: Readonly<Record<PartState, string>> = { ok: '32', warning: '33', error: '31' };
const order: readonly PartState[] = ['ok', 'warning', 'error'];

/** What the table is printed on. */
export interface Page {
  readonly hasColors: boolean;
  /** Characters of a line; null where it is no terminal. */
  readonly columns: number | null;
}

/** Sentences are not made narrower than this. */
const LEAST_WIDTH = 40;

/**
 * The worst come last: a terminal shows the end. Under each part that needs a person, the command to run, in one line to
 * copy.
 */
export function renderParts(parts: readonly StatusPart[], { hasColors, columns }: Page): string {
  const width = Math.max(0, ...parts.map(({ name }) => name.length));
  const margin = ' '.repeat('warning'.length + 2 + width + 2);
  const room = columns === null ? Infinity : Math.max(LEAST_WIDTH, columns - margin.length);
  const sorted = order.flatMap((state) => parts.filter((part) => part.state === state));
  return sorted
    .flatMap(({ name, state, sentence, command }) => {
      const [first = '', ...others] = wrap(escapeText(sentence), room);
      const head = `${paint(state.padEnd('warning'.length), state, hasColors)}  ${escapeText(name.padEnd(width))}  `;
      return [
        `${head}${first}`,
        ...others.map((line) => `${margin}${line}`),
        ...(command === null ? [] : [`${margin}$ ${escapeText(command)}`]),
      ];
    })
    .map((line) => `${line}\n`)
    .join('');
}

/** Lines of at most so many characters, broken at spaces; a longer word, such as a path, stays whole. */
function wrap(text: string, most: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= most)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

export function renderReport(report: StatusReport, page: Page): string {
  const { version, startedAt, generation, configuration, parts } = report;
  const runs = `registry-token ${version} runs since ${startedAt}: generation ${generation} of ${configuration.loadedAt}, ${configuration.path}`;
  return `${escapeText(runs)}\n\n${renderParts(parts, page)}\n${summarize(parts, page)}\n`;
}

export function summarize(parts: readonly StatusPart[], { hasColors }: Page): string {
  const counts = (['error', 'warning'] as const)
    .map((state) => [parts.filter((part) => part.state === state).length, state] as const)
    .filter(([count]) => count > 0);
  const [worst] = counts;
  if (worst === undefined) return paint('fine', 'ok', hasColors);
  const words = counts.map(([count, state]) => `${count} ${state}${count === 1 ? '' : 's'}`).join(', ');
  return paint(words, worst[1], hasColors);
}

function paint(text: string, state: PartState, hasColors: boolean): string {
  return hasColors ? `\u001b[${colors[state]}m${text}\u001b[0m` : text;
}
