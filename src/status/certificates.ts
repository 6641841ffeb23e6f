/** When certificates end: what the log says each day, and what systemd's status line, the report and `check` say. */

import { formatTime } from '../platform/time.ts';
import type { PartState } from './report.ts';
import type { CertificateState, CertificateUse } from './snapshot.ts';

const DAY = 86_400;
/** From so many seconds before its end on, a certificate needs its successor. */
export const ENDS_SOON = 30 * DAY;

/** The certificates of one file, and the first of them to end. */
export interface CertificateFile {
  /** Of the part in the report: `tls-certificate`, or the key of the configuration. */
  readonly name: string;
  readonly use: CertificateUse;
  /** The key of the configuration that names the file. */
  readonly key: string;
  readonly file: string;
  readonly certificates: readonly CertificateState[];
  readonly first: CertificateState;
  readonly state: PartState;
  /** Whole days until `first` ends; negative where it has. */
  readonly days: number;
}

const names: Readonly<Record<CertificateUse, (key: string) => string>> = {
  signing: () => 'signing-certificate',
  tls: () => 'tls-certificate',
  'client-ca': () => 'client-ca',
  'additional-key': (key) => key,
  'authority-ca': (key) => key,
};

/** What does not work once one has ended. */
const consequences: Readonly<Record<CertificateUse, string>> = {
  signing: 'registries refuse every token that carries it',
  tls: 'clients refuse to connect',
  'client-ca': 'client certificates that it has signed are refused',
  'additional-key': 'registries refuse tokens of this key',
  'authority-ca': "the Authority's keys cannot be fetched",
};

/** By the key that names them. */
export function groupByFile(certificates: readonly CertificateState[], now: number): CertificateFile[] {
  const groups = new Map<string, [CertificateState, ...CertificateState[]]>();
  for (const certificate of certificates) {
    const group = groups.get(certificate.key);
    if (group === undefined) groups.set(certificate.key, [certificate]);
    else group.push(certificate);
  }
  return [...groups.values()].map((group) => describeFile(group, now));
}

function describeFile(
  group: readonly [CertificateState, ...CertificateState[]],
  now: number,
): CertificateFile {
  const first = group.reduce((a, b) => (b.endsAt < a.endsAt ? b : a));
  const { use, key, file, endsAt } = first;
  // One of several authorities may have ended without harm: others may have taken its place.
  const isBundle = use === 'client-ca' || use === 'authority-ca';
  const isHarmless = isBundle && group.some((certificate) => certificate.endsAt > now);
  return {
    name: names[use](key),
    use,
    key,
    file,
    certificates: group,
    first,
    state: endsAt - now >= ENDS_SOON ? 'ok' : endsAt > now || isHarmless ? 'warning' : 'error',
    days: Math.floor((endsAt - now) / DAY),
  };
}

/** `The certificate registry-token in FILE ends on …, in 12 days; then registries refuse …`. */
export function describeEnd({ use, file, first: { subject, endsAt }, days }: CertificateFile): string {
  const certificate = `The certificate ${subject} in ${file}`;
  if (days < 0) return `${certificate} ended on ${formatTime(endsAt)}: ${consequences[use]}.`;
  const left = days === 1 ? '1 day' : `${days} days`;
  return `${certificate} ends on ${formatTime(endsAt)}, in ${left}; then ${consequences[use]}.`;
}

/** How often the same end is logged, in seconds. */
const TOLD_EVERY = DAY;

/**
 * Whose end is to be told now: each once a day, and at once where it has ended since, or is new. A clock that was set back by
 * more than a day tells too soon rather than never.
 */
export class EndReminder {
  #told = new Map<string, number>();

  due(files: readonly CertificateFile[], now: number): CertificateFile[] {
    const ending = files.filter(({ state }) => state !== 'ok');
    const due = ending.filter((file) => {
      const toldAt = this.#told.get(identify(file));
      return toldAt === undefined || Math.abs(now - toldAt) >= TOLD_EVERY;
    });
    const told = new Set(due);
    this.#told = new Map(
      ending.map((file) => [identify(file), told.has(file) ? now : (this.#told.get(identify(file)) ?? now)]),
    );
    return due;
  }
}

function identify({ key, file, state, first: { subject, endsAt } }: CertificateFile): string {
  return JSON.stringify([key, file, state, subject, endsAt]);
}
