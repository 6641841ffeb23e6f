/** The Prometheus text format, read by its grammar: anything that is none is an error. */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Exposition {
  readonly samples: readonly Sample[];
  readonly types: ReadonlyMap<string, string>;
  readonly help: ReadonlyMap<string, string>;
}

export function parseExposition(text: string): Exposition {
  const samples: Sample[] = [];
  const types = new Map<string, string>();
  const help = new Map<string, string>();
  if (!text.endsWith('\n')) throw new Error('The exposition does not end with a line end.');
  for (const line of text.slice(0, -1).split('\n')) {
    const [, keyword, about, rest] = /^# (HELP|TYPE) ([a-zA-Z_:][\w:]*) (.*)$/.exec(line) ?? [];
    if (about !== undefined && rest !== undefined) {
      const known = keyword === 'HELP' ? help : types;
      if (known.has(about)) throw new Error(`${keyword} of ${about} stands twice.`);
      if (keyword === 'TYPE' && !['counter', 'gauge', 'histogram', 'summary', 'untyped'].includes(rest))
        throw new Error(`${rest} is no type.`);
      known.set(about, rest);
    } else if (!line.startsWith('#')) samples.push(parseSample(line));
  }
  const series = samples.map(seriesOf);
  if (new Set(series).size !== series.length) throw new Error('A series stands twice.');
  return { samples, types, help };
}

/** Name and labels: what makes a series. */
export function seriesOf({ name, labels }: Sample): string {
  return `${name}${JSON.stringify(Object.entries(labels).sort())}`;
}

export function readValue(
  { samples }: Exposition,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  return samples.find((sample) => seriesOf(sample) === seriesOf({ name, labels, value: 0 }))?.value;
}

function parseSample(line: string): Sample {
  const [, name, labelText = '', value] =
    /^([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)$/.exec(line) ?? [];
  if (name === undefined || value === undefined) throw new Error(`This is no sample: ${line}`);
  const number = value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value);
  if (Number.isNaN(number)) throw new Error(`This is no number: ${line}`);
  const labels: Record<string, string> = {};
  for (const [, label = '', text = ''] of labelText.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g))
    labels[label] = text.replace(/\\(.)/g, (_, letter) => (letter === 'n' ? '\n' : letter));
  return { name, labels, value: number };
}
