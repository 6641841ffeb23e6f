/** Asks a running service for its report, at its telemetry listener. */
import { readBody } from '../platform/bounded-body.ts';
import { errorCode, explainError } from '../platform/errors.ts';
import type { PartState, StatusPart, StatusReport } from './report.ts';

/** Where the telemetry listener is: its address, or the absolute path of its socket. */
export type StatusAddress = { readonly host: string; readonly port: number } | { readonly path: string };

const ANSWER_MS = 5000;
const MAX_BYTES = 4 * 1024 * 1024;

/** Why there is no report. */
export class NoReport extends Error {
  /** `absent`: nobody answers there. `forbidden`: this user may not ask. `other`: somebody else answers, or not in full. */
  readonly kind: 'absent' | 'forbidden' | 'other';

  constructor(kind: NoReport['kind'], message: string) {
    super(message);
    this.name = 'NoReport';
    this.kind = kind;
  }
}

/** Rejects with NoReport. */
export async function askStatus(address: StatusAddress): Promise<StatusReport> {
  const url =
    'path' in address ? 'http://localhost/status' : `http://${hostOf(address)}:${address.port}/status`;
  let body: string;
  try {
    const response = await fetch(url, {
      proxy: false,
      redirect: 'error',
      headers: { Accept: 'application/json' },
      signal: AbortSignal.timeout(ANSWER_MS),
      ...('path' in address ? { unix: address.path } : {}),
    } as BunFetchRequestInit);
    body = (await readBody(response, MAX_BYTES)).toString('utf8');
    if (response.status !== 200) throw new NoReport('other', `it answers ${response.status} to /status`);
  } catch (cause) {
    throw cause instanceof NoReport ? cause : faultOf(cause);
  }
  const report = parseReport(body);
  if (report === null) throw new NoReport('other', 'the answer is not from this service');
  return report;
}

/** The address in words: as the configuration has it. */
export function formatStatusAddress(address: StatusAddress): string {
  return 'path' in address ? `unix:${address.path}` : `${bracketed(address.host)}:${address.port}`;
}

/** A wildcard is asked on loopback. */
function hostOf({ host }: { readonly host: string }): string {
  return bracketed({ '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host);
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

function faultOf(cause: unknown): NoReport {
  const code = errorCode(cause, '');
  if (['ENOENT', 'ECONNREFUSED', 'ConnectionRefused', 'FailedToOpenSocket'].includes(code))
    return new NoReport('absent', explainError(cause, 'connect'));
  if (code === 'EACCES' || code === 'EPERM') return new NoReport('forbidden', explainError(cause, 'connect'));
  const isLate = cause instanceof Error && cause.name === 'TimeoutError';
  return new NoReport(
    'other',
    isLate ? `no answer within ${ANSWER_MS / 1000} s` : explainError(cause, 'connect'),
  );
}

const states: readonly PartState[] = ['ok', 'warning', 'error'];

/** null for anything else than a report of this or a newer version. */
function parseReport(json: string): StatusReport | null {
  try {
    const report = JSON.parse(json) as StatusReport;
    const isReport =
      states.includes(report.state) &&
      typeof report.version === 'string' &&
      typeof report.generation === 'number' &&
      typeof report.configuration.path === 'string' &&
      report.parts.every(isPart);
    return isReport ? report : null;
  } catch {
    return null;
  }
}

function isPart({ name, state, sentence, command }: StatusPart): boolean {
  return (
    typeof name === 'string' &&
    states.includes(state) &&
    typeof sentence === 'string' &&
    (command === null || typeof command === 'string')
  );
}
