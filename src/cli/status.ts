/** `status`: what a running service holds, part by part, and what to do about it. */
import { dirname, resolve } from 'node:path';
import { explainAbsence } from '../check/absent-service.ts';
import { compareRunning } from '../check/running-service.ts';
import { isSystemdRunning } from '../check/unit-state.ts';
import { findConfigurationFile, readTelemetryListen } from '../config/load.ts';
import { parseTelemetryAddress } from '../config/values.ts';
import { ConfigurationFault } from '../document/mistakes.ts';
import { askStatus, formatStatusAddress, NoReport, type StatusAddress } from '../status/ask.ts';
import { renderParts, renderReport, renderReportJson, summarize } from '../status/render.ts';
import { type StatusPart, type StatusReport, worstOf } from '../status/report.ts';
import { buildInfo } from '../telemetry/build-info.ts';
import { type Command, CommandFailure, readOptions, UsageError } from './command.ts';

export const status: Command = {
  name: 'status',
  summary: 'shows the state of each part of the running service, and what to do',
  help: `Usage: registry-token status [--config FILE] [--address HOST:PORT | --address unix:PATH] [--unit NAME] [--json]

Asks the running service at its telemetry.listen and prints a line for each part: ok, warning or error, with a sentence
and the command to run next. If nothing answers, it says what to check.

  --config FILE        the configuration; default as for serve
  --address ADDRESS    asks there instead of telemetry.listen
  --unit NAME          the systemd unit to look at if nothing answers; default registry-token
  --json               prints the report as JSON

Exit codes: 0 fine; 1 something needs attention, or nothing runs; 2 usage.

Example:
  registry-token status
`,
  run: async ({ args, env, print, terminalColumns }) => {
    const options = readOptions(args, {
      config: { type: 'string' },
      address: { type: 'string' },
      unit: { type: 'string', default: 'registry-token' },
      json: { type: 'boolean' },
    });
    // https://no-color.org
    const page = { hasColors: terminalColumns !== null && !env.NO_COLOR, columns: terminalColumns };
    const address = options.address === undefined ? null : parseAddress(options.address);
    const { file, asked } = findAddress(options.config, env, address);
    const { unit } = options;
    const now = Date.now() / 1000;
    try {
      const report = await askAndCompare(asked, unit, now);
      print(options.json ? renderReportJson(report) : renderReport(report, page));
      return report.state === 'ok' ? 0 : 1;
    } catch (cause) {
      if (!(cause instanceof NoReport)) throw cause;
      const isAbsent = cause.kind === 'absent';
      const parts = [
        absentPart(asked, cause, unit),
        ...(isAbsent ? await explainAbsence(file, env, unit, now) : []),
      ];
      print(
        options.json
          ? renderReportJson({ state: 'error', version: null, parts })
          : `${renderParts(parts, page)}\n${summarize(parts, page)}\n`,
      );
      return 1;
    }
  },
};

function parseAddress(text: string): StatusAddress {
  const address = parseTelemetryAddress(text);
  if (address === null) throw new UsageError(`--address must be host:port or unix:PATH, not ${text}`);
  return 'path' in address ? { path: resolve(address.path) } : address;
}

/** What the packages configure: asked where the configuration cannot be read. */
const PACKAGED: StatusAddress = { path: '/run/registry-token/telemetry.sock' };

/** Where to ask. The configuration may have mistakes: the service then runs a former one. */
function findAddress(
  option: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  given: StatusAddress | null,
): { readonly file: string | null; readonly asked: StatusAddress } {
  let file: string | null = null;
  try {
    file = findConfigurationFile(option, env);
    if (given !== null) return { file, asked: given };
    const listen = readTelemetryListen(file, env);
    if (listen === null)
      throw new CommandFailure(
        `${file} has no telemetry.listen, so the service cannot be asked; add telemetry: { listen: unix:/run/registry-token/telemetry.sock } and restart the service, or name another address with --address`,
      );
    const directory = dirname(file);
    return { file, asked: 'path' in listen ? { path: resolve(directory, listen.path) } : listen };
  } catch (cause) {
    if (!(cause instanceof ConfigurationFault)) throw cause;
    return { file, asked: given ?? PACKAGED };
  }
}

/** With what this executable and the files on disk add to it. */
async function askAndCompare(address: StatusAddress, unit: string, now: number): Promise<StatusReport> {
  const report = await askStatus(address);
  const added = await compareRunning(report, buildInfo().version, unit, now);
  const names = new Set(added.map(({ name }) => name));
  const parts = [...added, ...report.parts.filter(({ name }) => !names.has(name))];
  return { ...report, state: worstOf(parts), parts };
}

function absentPart(address: StatusAddress, { kind, message }: NoReport, unit: string): StatusPart {
  const where = formatStatusAddress(address);
  const sentences = {
    absent: `No service answers on ${where}: ${message}.`,
    forbidden: `Cannot ask the service on ${where}: ${message}; the group registry-token may.`,
    other: `Cannot ask the service on ${where}: ${message}.`,
  };
  return {
    name: 'service',
    state: 'error',
    sentence: sentences[kind],
    command:
      kind === 'forbidden'
        ? 'sudo registry-token status'
        : isSystemdRunning()
          ? `systemctl status ${unit}`
          : null,
    facts: { address: where, kind },
  };
}
