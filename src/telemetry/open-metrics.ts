/** The OpenMetrics 1.0 form of an exposition in the Prometheus text format: OpenTelemetry writes the latter alone. */

const units = ['seconds', 'bytes', 'ratio'];

/** `text` as PrometheusSerializer writes it. */
export function toOpenMetrics(text: string): string {
  const lines = text.split('\n').filter((line) => line !== '');
  const types = new Map<string, string>();
  for (const line of lines) {
    const [, name, type] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
    if (name !== undefined && type !== undefined) types.set(name, type);
  }
  const converted = lines.flatMap((line) => {
    const [, keyword, name, rest] = /^# (HELP|TYPE|UNIT) (\S+) ?(.*)$/.exec(line) ?? [];
    if (keyword === undefined || name === undefined) return line.startsWith('#') ? [] : [sample(line)];
    // A counter's family lacks what its sample ends with.
    const family = types.get(name) === 'counter' ? name.replace(/_total$/, '') : name;
    if (keyword === 'HELP') return [`# HELP ${family} ${rest?.replaceAll('"', '\\"')}`];
    // The unit is the last word of the name, and nothing else ("s" is none).
    if (keyword === 'UNIT') return [];
    const unit = units.find((word) => family.endsWith(`_${word}`));
    return [`# TYPE ${family} ${rest}`, ...(unit === undefined ? [] : [`# UNIT ${family} ${unit}`])];
  });
  return `${[...converted, '# EOF'].join('\n')}\n`;
}

/** The bounds of buckets are floating-point numbers there: `1.0`, not `1`. */
function sample(line: string): string {
  return line.replace(/(?<=^\w+_bucket\{.*\ble=")(\d+)(?="\} )/, '$1.0');
}
