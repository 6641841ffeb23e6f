/** The picture of the dashboard in etc/README.md: every panel is in it, drawn from what its queries were answered. */
import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { grafanaFolder, readDashboard } from '../support/operators-files.ts';
import type { RangeSeries } from '../support/prometheus.ts';
import { drawDashboard, type PanelAnswers } from './picture.ts';

const dashboard = readDashboard();
const { panels } = dashboard;

/** What is drawn of each panel, by its number. */
function cardsOf(svg: string): Map<number, string> {
  const cards = svg.matchAll(/<g data-panel="(\d+)">(.*?)<\/g>/gs);
  return new Map([...cards].map(([, id, content = '']) => [Number(id), content]));
}

const linesOf = (card: string) =>
  [...card.matchAll(/<path class="line"[^>]* d="([^"]+)"/g)].map(([, d]) => d);

test('the picture in etc/README.md has each panel of the dashboard, with data in it', () => {
  const svg = readFileSync(`${grafanaFolder}registry-token.svg`, 'utf8');
  const cards = cardsOf(svg);
  expect([...cards.keys()]).toEqual(panels.map(({ id }) => id));
  for (const { id, title, type } of panels) {
    const card = cards.get(id) ?? '';
    expect(card).toContain(`>${title}</text>`);
    const lines = linesOf(card).map((line = '') => line.split('L').length);
    const figures = [...card.matchAll(/font-size="44"[^>]*>\d+</g)].length;
    const drawn = { timeseries: Math.max(0, ...lines), stat: figures, table: card.split('\n').length };
    expect([title, drawn[type as keyof typeof drawn] > 1]).toEqual([title, true]);
  }
  const readme = readFileSync(new URL('../../etc/README.md', import.meta.url), 'utf8');
  expect(readme).toContain('](grafana/registry-token.svg)');
});

test('a line is drawn for each series under its name, and a gap in the data is left open', () => {
  const series = (plan: string, values: RangeSeries['values']) => ({ metric: { plan }, values });
  const busy = series('a<b', [
    [100, '0'],
    [102, '5'],
    [104, '10'],
  ]);
  const interrupted = series('pro', [
    [100, '1'],
    [102, 'NaN'],
    [104, '2'],
    [106, '3'],
  ]);
  const answers: PanelAnswers = new Map([[1, [[busy, interrupted]]]]);
  const options = { start: 100, seconds: 6, step: 2, caption: 'x & y' };
  const svg = drawDashboard(dashboard, answers, options);
  expect(svg).toContain('>x &amp; y</text>');
  const card = cardsOf(svg).get(1) ?? '';
  expect(card).toContain('>a&lt;b</text>');
  expect(card).toContain('>10/s</text>');
  const [whole, broken] = linesOf(card);
  expect(whole).toMatch(/^M\S+ \S+(?:L\S+ \S+){2}$/);
  expect(broken).toMatch(/^M\S+ [\d.]+M\S+ [\d.]+L\S+ [\d.]+$/);
  for (const [id, other] of cardsOf(svg)) if (id !== 1) expect(linesOf(other)).toEqual([]);
});
