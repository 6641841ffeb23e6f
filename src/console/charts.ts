/** Bars of the last hour, as SVG without styles of its own: the page's style sheet has the colors. */
import { Html, html } from './html.ts';
import type { Minute } from './last-hour.ts';

const WIDTH = 600;
const HEIGHT = 110;
const STEP = WIDTH / 60;
/** Reasons with a color of their own; the others share one. */
const MOST_COLORS = 5;

export interface ReasonCount {
  readonly reason: string;
  readonly count: number;
  /** The class of its bars: 0 is the most frequent one. */
  readonly color: number;
}

/** The reasons of the last hour, the most frequent first. */
export function countReasons(minutes: readonly Minute[]): readonly ReasonCount[] {
  const counts = new Map<string, number>();
  for (const { refused } of minutes)
    for (const [reason, count] of Object.entries(refused))
      counts.set(reason, (counts.get(reason) ?? 0) + count);
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .map(([reason, count], index) => ({ reason, count, color: Math.min(index, MOST_COLORS) }));
}

export function issuedChart(minutes: readonly Minute[]): Html {
  const most = Math.max(1, ...minutes.map(({ issued }) => issued));
  const total = minutes.reduce((sum, { issued }) => sum + issued, 0);
  const path = minutes.map(({ issued }, index) => bar(index, 0, scaled(issued, most))).join('');
  return chart(`${total} tokens issued in the last hour, at most ${most} a minute`, most, [['issued', path]]);
}

export function refusedChart(minutes: readonly Minute[], reasons: readonly ReasonCount[]): Html {
  const totalOf = ({ refused }: Minute) => Object.values(refused).reduce((sum, count) => sum + count, 0);
  const totals = minutes.map(totalOf);
  const most = Math.max(1, ...totals);
  const total = totals.reduce((sum, count) => sum + count, 0);
  const heights = minutes.map(() => 0);
  const paths = Array.from({ length: MOST_COLORS + 1 }, () => '');
  for (const { reason, color } of reasons)
    for (const [index, { refused }] of minutes.entries()) {
      const count = Object.entries(refused).find(([name]) => name === reason)?.[1] ?? 0;
      if (count === 0) continue;
      const height = scaled(count, most);
      paths[color] += bar(index, heights[index] ?? 0, height);
      heights[index] = (heights[index] ?? 0) + height;
    }
  const label = `${total} requests refused in the last hour, at most ${most} a minute`;
  return chart(
    label,
    most,
    paths.map((path, color) => [`r${color}`, path]),
  );
}

function chart(label: string, most: number, paths: readonly (readonly [name: string, path: string])[]): Html {
  const drawn = paths
    .filter(([, path]) => path !== '')
    .map(([name, path]) => html`<path class="${name}" d="${new Html(path)}"/>`);
  return html`<svg viewBox="0 0 ${WIDTH} ${HEIGHT + 16}" role="img" aria-label="${label}"><title>${label}</title><path class="axis" d="M0 ${HEIGHT}.5H${WIDTH}"/>${drawn}<text x="0" y="${HEIGHT + 14}">60 min ago</text><text x="${WIDTH}" y="${HEIGHT + 14}" text-anchor="end">now</text><text x="0" y="10">${most}/min</text></svg>`;
}

function scaled(count: number, most: number): number {
  return Math.round((count / most) * (HEIGHT - 14) * 10) / 10;
}

function bar(index: number, bottom: number, height: number): string {
  if (height === 0) return '';
  const x = index * STEP + 1;
  const y = Math.round((HEIGHT - bottom - height) * 10) / 10;
  return `M${x} ${y}h${STEP - 2}v${height}h-${STEP - 2}z`;
}
