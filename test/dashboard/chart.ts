/** A chart over time as SVG: axes, lines, thresholds and a legend, on a panel's card. */

export interface Line {
  readonly name: string;
  /** Seconds since the start, and the value; ascending. A gap in the data is a gap in the line. */
  readonly points: readonly (readonly [seconds: number, value: number])[];
}

export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface ChartOptions {
  readonly lines: readonly Line[];
  /** Length of the time axis in seconds. */
  readonly seconds: number;
  /** Seconds from one point to the next. */
  readonly step: number;
  readonly format: (value: number) => string;
  /** What the axis counts in: 2 ** 20 for MiB. */
  readonly base: number;
  /** The least that the axis reaches up to; null: the largest value alone decides. */
  readonly max: number | null;
  readonly thresholds: readonly { readonly value: number; readonly color: string }[];
}

/** Okabe and Ito's, apart for colour-blind readers too. */
const colors = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#7a5195', '#5f6b73'];
const LEGEND_LINE = 15;
const CHARACTER = 6.1;
/** What the numbers at the left take. */
const AXIS = 50;

/** Draws into the box, which holds nothing else. */
export function drawChart(box: Box, options: ChartOptions): string {
  const { lines, seconds, step, format, base } = options;
  const legend = layOutLegend(
    lines.map(({ name }) => name),
    box.width,
  );
  const plot: Box = {
    x: box.x + AXIS,
    y: box.y + 4,
    width: box.width - AXIS - 8,
    height: box.height - 24 - legend.height,
  };
  const largest = Math.max(0, ...lines.flatMap(({ points }) => points.map(([, value]) => value)));
  const ticks = niceTicks(Math.max(largest, options.max ?? 0) / base).map((tick) => tick * base);
  const top = ticks.at(-1) ?? 1;
  const xOf = (second: number) => round(plot.x + (second / seconds) * plot.width);
  const yOf = (value: number) => round(plot.y + plot.height * (1 - value / top));
  const grid = ticks.map(
    (value) =>
      `<path class="grid" d="M${plot.x} ${yOf(value)}h${plot.width}"/>` +
      `<text class="tick" text-anchor="end" x="${plot.x - 5}" y="${yOf(value) + 3.5}">${escapeXml(format(value))}</text>`,
  );
  const times = [0, 0.25, 0.5, 0.75, 1].map((part) => {
    const anchor = part === 1 ? 'end' : 'middle';
    const at = `x="${xOf(part * seconds)}" y="${plot.y + plot.height + 14}"`;
    return `<text class="tick" text-anchor="${anchor}" ${at}>${clock(part * seconds)}</text>`;
  });
  const limits = options.thresholds
    .filter(({ value }) => value <= top)
    .map(
      ({ value, color }) =>
        `<path class="limit" stroke="${color}" d="M${plot.x} ${yOf(value)}h${plot.width}"/>`,
    );
  const drawn = lines.map(
    ({ points }, index) =>
      `<path class="line" stroke="${colorAt(index)}" d="${path(points, step, xOf, yOf)}"/>`,
  );
  const names = legend.entries.map(({ name, x, row }, index) => {
    const left = box.x + AXIS + x;
    const baseline = plot.y + plot.height + 31 + row * LEGEND_LINE;
    return (
      `<rect x="${left}" y="${baseline - 6}" width="12" height="3" fill="${colorAt(index)}"/>` +
      `<text class="name" x="${left + 17}" y="${baseline}">${escapeXml(name)}</text>`
    );
  });
  return [...grid, ...times, ...limits, ...drawn, ...names].join('\n');
}

function colorAt(index: number): string {
  return colors[index % colors.length] ?? '#000';
}

function path(
  points: Line['points'],
  step: number,
  xOf: (second: number) => number,
  yOf: (value: number) => number,
): string {
  let before = Number.NEGATIVE_INFINITY;
  let drawn = '';
  for (const [second, value] of points) {
    drawn += `${second - before > 1.5 * step ? 'M' : 'L'}${xOf(second)} ${yOf(value)}`;
    before = second;
  }
  return drawn;
}

/** Where each name stands, from left to right in as many rows as it takes. */
function layOutLegend(names: readonly string[], width: number) {
  let x = 0;
  let row = 0;
  const entries = names.map((name) => {
    const needed = 30 + name.length * CHARACTER;
    if (x > 0 && x + needed > width - AXIS - 8) {
      x = 0;
      row += 1;
    }
    const entry = { name, x: round(x), row };
    x += needed;
    return entry;
  });
  return { entries, height: names.length === 0 ? 0 : (row + 1) * LEGEND_LINE };
}

/** From 0 to at least `largest`, 2 to 5 steps of 1, 2 or 5 times a power of ten. */
function niceTicks(largest: number): readonly number[] {
  const reach = largest > 0 ? largest : 1;
  const power = 10 ** Math.floor(Math.log10(reach / 4));
  const unit = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => reach / candidate <= 5);
  const distance = unit ?? 10 * power;
  return Array.from({ length: Math.ceil(reach / distance - 1e-9) + 1 }, (_, index) => index * distance);
}

function clock(seconds: number): string {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

/** A tenth of a pixel is enough, and keeps the file small. */
function round(value: number): number {
  return Math.round(value * 10) / 10;
}

export function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
