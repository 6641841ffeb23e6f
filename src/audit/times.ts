/** Times as people write them, to epoch milliseconds. */

const units: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};
const DATE = /^\d{4}-\d\d-\d\d$/;
const DATE_TIME = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?)(Z|[+-]\d\d:?\d\d)?$/i;
const TIME = /^\d\d:\d\d(?::\d\d)?$/;

export const timeForms =
  'a duration before now (90s, 30m, 1h, 2d), today, yesterday, 14:30, 2026-11-29, or 2026-11-29T14:30:00 with or without Z or +01:00';

/** Local time of this machine, or UTC. */
export type Zone = 'local' | 'utc';

/** Null where the text is no time. What has no zone of its own is in `zone`. `now` in epoch milliseconds. */
export function parseTime(text: string, now: number, zone: Zone): number | null {
  const suffix = zone === 'utc' ? 'Z' : '';
  const duration = /^(\d{1,6})([smhdw])$/.exec(text);
  if (duration !== null) return now - Number(duration[1]) * (units[duration[2] ?? ''] ?? 0);
  if (text === 'now') return now;
  if (text === 'today') return midnight(now, 0, zone);
  if (text === 'yesterday') return midnight(now, -1, zone);
  if (TIME.test(text)) return known(Date.parse(`${dateOf(now, zone)}T${text}${suffix}`));
  // Of a date alone JavaScript takes the midnight of UTC.
  if (DATE.test(text)) return known(Date.parse(`${text}T00:00:00${suffix}`));
  const [, date, time, offset = suffix] = DATE_TIME.exec(text) ?? [];
  return date === undefined ? null : known(Date.parse(`${date}T${time}${offset.toUpperCase()}`));
}

function midnight(now: number, days: number, zone: Zone): number {
  const day = new Date(now);
  return zone === 'utc'
    ? Date.UTC(day.getUTCFullYear(), day.getUTCMonth(), day.getUTCDate() + days)
    : new Date(day.getFullYear(), day.getMonth(), day.getDate() + days).getTime();
}

function known(time: number): number | null {
  return Number.isNaN(time) ? null : time;
}

export function dateOf(time: number, zone: Zone): string {
  return zone === 'utc' ? new Date(time).toISOString().slice(0, 10) : localDate(time);
}

/** `14:30:05`. */
export function clockOf(time: number, zone: Zone): string {
  const date = new Date(time);
  if (zone === 'utc') return date.toISOString().slice(11, 19);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map(twoDigits).join(':');
}

/** `UTC`, `UTC+01:00`. */
export function zoneOf(time: number, zone: Zone): string {
  const minutes = zone === 'utc' ? 0 : -new Date(time).getTimezoneOffset();
  if (minutes === 0) return 'UTC';
  const size = Math.abs(minutes);
  return `UTC${minutes < 0 ? '-' : '+'}${twoDigits(Math.floor(size / 60))}:${twoDigits(size % 60)}`;
}

function localDate(time: number): string {
  const date = new Date(time);
  return `${date.getFullYear()}-${twoDigits(date.getMonth() + 1)}-${twoDigits(date.getDate())}`;
}

function twoDigits(number: number): string {
  return String(number).padStart(2, '0');
}
