/** The running service compared with the files on disk and with this executable. */
import type { LoadedConfiguration } from '../config/load.ts';
import { loadConfiguration } from '../config/load.ts';
import { ConfigurationFault, formatMistake } from '../document/mistakes.ts';
import { shellWord } from '../platform/quoting.ts';
import { askStatus, NoReport } from '../status/ask.ts';
import type { StatusPart, StatusReport } from '../status/report.ts';
import type { Finding } from './finding.ts';
import { openConfiguration } from './open-configuration.ts';

/** What the running service says of its configuration and key; nothing where none answers. */
export async function findRunningFaults(loaded: LoadedConfiguration): Promise<Finding[]> {
  const { telemetry } = loaded.configuration;
  if (telemetry === undefined) return [];
  const { listen } = telemetry;
  let report: StatusReport;
  try {
    report = await askStatus('path' in listen ? { path: loaded.resolvePath(listen.path) } : listen);
  } catch (cause) {
    if (!(cause instanceof NoReport)) throw cause;
    return [];
  }
  const place = loaded.placeOf(['telemetry', 'listen']);
  const { path } = report.configuration;
  if (path !== loaded.file)
    return [
      {
        severity: 'warning',
        code: 'running-configuration',
        place,
        fault: `The running service uses another file: ${path}.`,
        mend: `registry-token check --config ${shellWord(path)}`,
      },
    ];
  const compared = ['configuration', 'signing-key', 'revocations'];
  return report.parts
    .filter(({ name, state }) => compared.includes(name) && state !== 'ok')
    .map(({ name, sentence, command }) => ({
      severity: 'warning',
      code: `running-${name}`,
      place,
      fault: `The running service: ${sentence}`,
      mend: command ?? '',
    }));
}

/** What only this side of the report can know. `now` in epoch seconds. */
export async function compareRunning(
  report: StatusReport,
  version: string,
  unit: string,
  now: number,
): Promise<readonly StatusPart[]> {
  const { path } = report.configuration;
  // Of the file alone: the unit's environment may name a copy of the key.
  const onDisk = await openFile(path, now);
  return [...describeVersion(report, version, onDisk, unit), ...describeKey(report, onDisk, unit)];
}

type OnDisk =
  | { readonly keyFile: string; readonly thumbprint: string }
  | { readonly mistakes: readonly string[] };

async function openFile(file: string, now: number): Promise<OnDisk> {
  try {
    const loaded = loadConfiguration(file, {});
    const { material } = await openConfiguration(loaded, now);
    const keyFile = loaded.resolvePath(loaded.configuration.signing.keyPath);
    return { keyFile, thumbprint: material.signingKey.thumbprint };
  } catch (cause) {
    if (!(cause instanceof ConfigurationFault)) throw cause;
    return { mistakes: cause.mistakes.map(formatMistake) };
  }
}

function describeVersion(report: StatusReport, version: string, onDisk: OnDisk, unit: string): StatusPart[] {
  if (report.version === version) return [];
  const facts = { running: report.version, installed: version };
  const runs = `${report.version} runs, and this executable is ${version}`;
  const check = `registry-token check --config ${shellWord(report.configuration.path)}`;
  const [mistake] = 'mistakes' in onDisk ? onDisk.mistakes : [];
  return [
    mistake === undefined
      ? {
          name: 'version',
          state: 'warning',
          sentence: `${runs}: the service was not restarted since the upgrade.`,
          command: `systemctl restart ${unit}`,
          facts,
        }
      : {
          name: 'version',
          state: 'error',
          sentence: `${runs}, which does not accept the configuration, so a restart would fail: ${mistake}.`,
          command: check,
          facts,
        },
  ];
}

/** A unit may give the service a copy of the key, made at the start (`LoadCredential=`). */
function describeKey(report: StatusReport, onDisk: OnDisk, unit: string): StatusPart[] {
  const running = report.parts.find(({ name }) => name === 'signing-key');
  const inUse = running?.facts.thumbprint;
  if (running === undefined || running.state !== 'ok' || 'mistakes' in onDisk) return [];
  if (typeof inUse !== 'string' || inUse === onDisk.thumbprint) return [];
  return [
    {
      name: 'signing-key',
      state: 'error',
      sentence: `It signs with ${inUse.slice(0, 12)}, but ${onDisk.keyFile} now holds ${onDisk.thumbprint.slice(0, 12)}: it uses a copy made at its start, and must be restarted before registries forget the old key.`,
      command: `systemctl restart ${unit}`,
      facts: {
        ...running.facts,
        onDisk: [{ file: onDisk.keyFile, thumbprint: onDisk.thumbprint, fault: null }],
      },
    },
  ];
}
