/** A report as JSON, and as a table for a terminal. */
import { escapeLines, escapeText } from '../platform/escape.ts';
import type { PartState, StatusPart, StatusReport } from './report.ts';

export function renderReportJson(report: unknown): string {
  return `${escapeLines(JSON.stringify(report, null, 2))}\n`;
}

/** Of ECMA-48: green, yellow, red. */
const colors: Readonly<Record<PartState, string>> = { ok: '32', warning: '33', error: '31' };
const order: readonly PartState[] = ['ok', 'warning', 'error'];

/** The worst come last: a terminal shows the end. Under each part that needs a person, the command to run. */
export function renderParts(parts: readonly StatusPart[], hasColors: boolean): string {
  const width = Math.max(0, ...parts.map(({ name }) => name.length));
  const sorted = order.flatMap((state) => parts.filter((part) => part.state === state));
  return sorted
    .flatMap(({ name, state, sentence, command }) => [
      `${paint(state.padEnd('warning'.length), state, hasColors)}  ${escapeText(name.padEnd(width))}  ${escapeText(sentence)}`,
      ...(command === null
        ? []
        : [`${' '.repeat('warning'.length + 2 + width + 2)}$ ${escapeText(command)}`]),
    ])
    .map((line) => `${line}\n`)
    .join('');
}

export function renderReport(report: StatusReport, hasColors: boolean): string {
  const { version, startedAt, generation, configuration, parts } = report;
  const runs = `registry-token ${version} runs since ${startedAt}: generation ${generation} of ${configuration.loadedAt}, ${configuration.path}`;
  return `${escapeText(runs)}\n\n${renderParts(parts, hasColors)}\n${summarize(parts, hasColors)}\n`;
}

export function summarize(parts: readonly StatusPart[], hasColors: boolean): string {
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
