/** The dashboard as one SVG: a card for each panel where Grafana has it, with the answers to its queries. */
import type { Dashboard, Panel } from '../support/operators-files.ts';
import type { RangeSeries } from '../support/prometheus.ts';
import { type Box, drawChart, escapeXml, type Line } from './chart.ts';

/** What each query of a panel was answered, in the order of its targets. */
export type PanelAnswers = ReadonlyMap<number, readonly (readonly RangeSeries[])[]>;

export interface PictureOptions {
  /** Epoch seconds of the left edge, and how many seconds to the right one. */
  readonly start: number;
  readonly seconds: number;
  readonly step: number;
  /** One line under the title: what is seen. */
  readonly caption: string;
}

const WIDTH = 1200;
const COLUMN = WIDTH / 24;
const ROW = 25;
const GAP = 8;
const HEAD = 56;

export function drawDashboard(dashboard: Dashboard, answers: PanelAnswers, options: PictureOptions): string {
  const rows = Math.max(...dashboard.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  const height = HEAD + rows * ROW + GAP;
  const cards = dashboard.panels.map((panel) => drawCard(panel, answers.get(panel.id) ?? [], options));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="DejaVu Sans, Verdana, sans-serif">
<style>
.title { font-size: 13px; font-weight: bold; fill: #24292f }
.tick { font-size: 10px; fill: #57606a } .name { font-size: 11px; fill: #24292f }
.grid { stroke: #e4e7eb; fill: none } .line { stroke-width: 1.7; fill: none; stroke-linejoin: round }
.limit { stroke-width: 1; stroke-dasharray: 5 4; fill: none } .card { fill: #fff; stroke: #d0d7de }
</style>
<rect width="${WIDTH}" height="${height}" fill="#f6f8fa"/>
<text x="${GAP}" y="24" font-size="19" font-weight="bold" fill="#24292f">${escapeXml(dashboard.title)}</text>
<text class="name" x="${GAP}" y="44">${escapeXml(options.caption)}</text>
${cards.join('\n')}
</svg>
`;
}

function drawCard(
  panel: Panel,
  answers: readonly (readonly RangeSeries[])[],
  options: PictureOptions,
): string {
  const { x, y, w, h } = panel.gridPos;
  const card: Box = {
    x: x * COLUMN + GAP / 2,
    y: HEAD + y * ROW + GAP / 2,
    width: w * COLUMN - GAP,
    height: h * ROW - GAP,
  };
  const inner: Box = { ...card, y: card.y + 26, height: card.height - 30 };
  return `<g data-panel="${panel.id}">
<rect class="card" x="${card.x}" y="${card.y}" width="${card.width}" height="${card.height}" rx="4"/>
<text class="title" x="${card.x + 10}" y="${card.y + 18}">${escapeXml(panel.title)}</text>
${drawContent(panel, inner, answers, options)}
</g>`;
}

function drawContent(
  panel: Panel,
  box: Box,
  answers: readonly (readonly RangeSeries[])[],
  { start, seconds, step }: PictureOptions,
): string {
  const { unit = 'short', max = null, thresholds, custom } = panel.fieldConfig.defaults;
  const series = panel.targets.flatMap(({ legendFormat = '' }, index) =>
    (answers[index] ?? []).map((found) => ({ name: nameOf(legendFormat, found.metric), ...found })),
  );
  if (panel.type === 'table') return drawTable(box, series);
  if (panel.type === 'stat') return drawFigures(box, series, (value) => formatValue(value, unit));
  const lines: readonly Line[] = series.map(({ name, values }) => ({
    name,
    points: values
      .map(([time, value]) => [time - start, Number(value)] as const)
      .filter(([, value]) => Number.isFinite(value)),
  }));
  const limits = custom?.thresholdsStyle?.mode === 'line' ? (thresholds?.steps ?? []) : [];
  return drawChart(box, {
    lines: lines.filter(({ points }) => points.length > 0),
    seconds,
    step,
    format: (value) => formatValue(value, unit),
    base: unit === 'bytes' ? 2 ** 20 : 1,
    max,
    thresholds: limits.flatMap(({ value, color }) => (value === null ? [] : [{ value, color }])),
  });
}

/** `p50 {{outcome}}` with the labels of a series. */
function nameOf(legendFormat: string, labels: Readonly<Record<string, string>>): string {
  return legendFormat.replace(/\{\{(\w+)\}\}/g, (_, label: string) => labels[label] ?? '');
}

type Named = RangeSeries & { readonly name: string };

function drawFigures(box: Box, series: readonly Named[], format: (value: number) => string): string {
  const width = box.width / Math.max(1, series.length);
  return series
    .map(({ name, values }, index) => {
      const centre = box.x + width * (index + 0.5);
      const figure = format(Number(values.at(-1)?.[1]));
      return `<text x="${centre}" y="${box.y + box.height / 2 + 8}" text-anchor="middle" font-size="44" fill="#1a7f37">${escapeXml(figure)}</text>
<text class="name" x="${centre}" y="${box.y + box.height / 2 + 36}" text-anchor="middle">${escapeXml(name)}</text>`;
    })
    .join('\n');
}

const tableColumns = ['instance', 'version', 'commit', 'bun'] as const;

function drawTable(box: Box, series: readonly Named[]): string {
  const at = (column: number, row: number) =>
    `x="${box.x + 12 + (column * box.width) / tableColumns.length}" y="${box.y + 18 + row * 24}"`;
  const cells = series.flatMap(({ metric }, row) =>
    tableColumns.map(
      (label, column) => `<text class="name" ${at(column, row + 1)}>${escapeXml(metric[label] ?? '')}</text>`,
    ),
  );
  const heads = tableColumns.map((label, column) => `<text class="tick" ${at(column, 0)}>${label}</text>`);
  return [...heads, ...cells].join('\n');
}

/** As Grafana shows the unit, roughly. */
function formatValue(value: number, unit: string): string {
  if (unit === 'percentunit') return `${short(value * 100)} %`;
  if (unit === 's') return value > 0 && value < 1 ? `${short(value * 1000)} ms` : `${short(value)} s`;
  if (unit === 'bytes') return `${short(value / 2 ** 20)} MiB`;
  if (unit === 'reqps') return `${short(value)}/s`;
  return short(value);
}

function short(value: number): string {
  return String(Number(value.toPrecision(3)));
}
