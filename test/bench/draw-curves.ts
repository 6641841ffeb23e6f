/** Curves as one SVG: panels side by side, readable on a light and on a dark page. */

export interface Curve {
  readonly title: string;
  /** What grows; the axis is logarithmic. */
  readonly grows: string;
  readonly unit: string;
  readonly points: readonly Point[];
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

const PANEL = { width: 300, height: 210 };
/** Room for the first and the last value. */
const INSET = 20;
const PLOT = { left: 46, top: 46, width: 230, height: 118 };

/** Where the colour scheme of the page is not known, one grey and one blue that both show. */
const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #6e7781; }
  .title { font-weight: 600; }
  .axis { stroke: #8c959f; stroke-width: 1; }
  .grid { stroke: #8c959f; stroke-width: 0.5; stroke-dasharray: 2 3; }
  .curve { fill: none; stroke: #218bff; stroke-width: 2; }
  circle { fill: #218bff; }
  @media (prefers-color-scheme: light) { text { fill: #57606a; } .title { fill: #24292f; } }
  @media (prefers-color-scheme: dark) { text { fill: #9198a1; } .title { fill: #e6edf3; } }`;

/** Two panels a row, in the order of `curves`. */
export function drawCurves(curves: readonly Curve[]): string {
  const columns = 2;
  const [width, height] = [PANEL.width * columns, PANEL.height * Math.ceil(curves.length / columns)];
  const panels = curves.map((curve, index) => {
    const [x, y] = [(index % columns) * PANEL.width, Math.floor(index / columns) * PANEL.height];
    return `<g transform="translate(${x} ${y})">\n${drawPanel(curve)}\n</g>`;
  });
  const size = `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img">\n<style>${STYLE}\n</style>\n${panels.join('\n')}\n</svg>\n`;
}

function drawPanel({ title, grows, unit, points }: Curve): string {
  const top = niceTop(Math.max(...points.map(({ y }) => y)));
  const [first, last] = [Math.min(...points.map(({ x }) => x)), Math.max(...points.map(({ x }) => x))];
  const across = (x: number) =>
    PLOT.left +
    INSET +
    (first === last ? 0.5 : Math.log(x / first) / Math.log(last / first)) * (PLOT.width - 2 * INSET);
  const down = (y: number) => PLOT.top + (1 - y / top) * PLOT.height;
  const bottom = PLOT.top + PLOT.height;
  const right = PLOT.left + PLOT.width;
  const at = points.map(({ x, y }) => ({
    x: across(x).toFixed(1),
    y: down(y).toFixed(1),
    label: x,
    value: y,
  }));
  return [
    text(8, 18, title, 'start', 'title'),
    text(8, 35, unit),
    ...[top / 2, top].flatMap((y) => [
      line('grid', PLOT.left, down(y), right, down(y)),
      text(PLOT.left - 5, down(y) + 4, shorten(y), 'end'),
    ]),
    text(PLOT.left - 5, bottom + 4, '0', 'end'),
    line('axis', PLOT.left, bottom, right, bottom),
    `<polyline class="curve" points="${at.map(({ x, y }) => `${x},${y}`).join(' ')}"/>`,
    ...at.flatMap(({ x, y, label, value }) => [
      `<circle cx="${x}" cy="${y}" r="3"><title>${shorten(label)} ${escapeText(grows)}: ${shorten(value)} ${escapeText(unit)}</title></circle>`,
      text(Number(x), Number(y) - 8, shorten(value), 'middle'),
      text(Number(x), bottom + 17, shorten(label), 'middle'),
    ]),
    text(PLOT.left + PLOT.width / 2, bottom + 35, grows, 'middle'),
  ].join('\n');
}

function text(x: number, y: number, words: string, anchor = 'start', name = ''): string {
  const kind = name === '' ? '' : ` class="${name}"`;
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}"${kind}>${escapeText(words)}</text>`;
}

function line(name: string, x1: number, y1: number, x2: number, y2: number): string {
  const [a, b, c, d] = [x1, y1, x2, y2].map((value) => value.toFixed(1));
  return `<line class="${name}" x1="${a}" y1="${b}" x2="${c}" y2="${d}"/>`;
}

/** 1, 2 or 5 times a power of ten, with room above the highest point for its value. */
function niceTop(highest: number): number {
  const power = 10 ** Math.floor(Math.log10(highest));
  const step = [1, 2, 3, 5, 10].find((candidate) => candidate * power >= highest * 1.2);
  return (step ?? 20) * power;
}

/** `10k`, `1M`, else three digits that count. */
export function shorten(value: number): string {
  if (value >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  if (value >= 1e4) return `${Number((value / 1e3).toPrecision(3))}k`;
  return String(Number(value.toPrecision(3)));
}

function escapeText(words: string): string {
  return words.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
