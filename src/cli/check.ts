/** `check`: the mistakes that keep `serve` from starting, and findings about what clients and registries will meet. */

import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { revokedSets } from '../assemble/material.ts';
import { createPolicy } from '../assemble/options.ts';
import { certificatesOf } from '../assemble/snapshot.ts';
import { findAuthorityFaults, findKeySetWarnings, findRealmFaults } from '../check/authority-findings.ts';
import { findAuthorityRuleFaults } from '../check/authority-rules.ts';
import { findCertificateEnds } from '../check/certificate-findings.ts';
import { type ClientReport, reportClients } from '../check/client-report.ts';
import { findEntitlementsFaults } from '../check/entitlements-findings.ts';
import type { Finding } from '../check/finding.ts';
import { findKeyFaults } from '../check/key-findings.ts';
import { type OpenedConfiguration, openConfiguration } from '../check/open-configuration.ts';
import { findPolicyFaults } from '../check/policy-findings.ts';
import { findRegistryFaults } from '../check/registry-findings.ts';
import { renderRegistrySample } from '../check/registry-sample.ts';
import { NoUnit, runAsUnit } from '../check/run-as-unit.ts';
import { findRunningFaults } from '../check/running-service.ts';
import { findConfigurationFile, type LoadedConfiguration, loadConfiguration } from '../config/load.ts';
import { ConfigurationFault, formatPlace } from '../document/mistakes.ts';
import { withBundle } from '../entitlements/in-force.ts';
import { escapeLines, escapeText } from '../platform/escape.ts';
import { type Command, type CommandContext, CommandFailure, readOptions } from './command.ts';

export const check: Command = {
  name: 'check',
  summary: 'validates the configuration, keys and certificates, and prints what the registry needs',
  help: `Usage: registry-token check [--unit NAME] [--config FILE] [--registry-config FILE] [--offline] [--strict] [--json]
       registry-token check --mistakes [--unit NAME] [--config FILE]

Reports every mistake that keeps serve from starting, each with its place, and exits with 78. Without mistakes it
prints what the registry needs, which stock clients the configuration supports, what the environment overrides,
and findings: keys others can read, certificates that end, clocks that differ, an Authority or realm that does not
answer, patterns that match nothing, a registry that does not trust the key, a running service that has another
configuration.

  --unit NAME              judges as systemd would start this unit: with its environment, user and sandbox; as root
  --registry-config FILE   the registry's own file (config.yml of distribution, config.json of zot): compares what
                           changes the meaning of its auth section with this configuration
  --offline                makes no network requests
  --strict                 exits with 1 for warnings too
  --mistakes               prints only the mistakes, without network requests; prints nothing if serve would start
  --json                   prints the report as JSON

Exit codes: 0; 1 if there is an error, with --strict also a warning; 2 usage; 78 the configuration has mistakes.

Example:
  registry-token check --config /etc/registry-token/registry-token.yaml --registry-config /etc/docker/registry/config.yml
`,
  run: async (context) => {
    const { args, env, print } = context;
    const options = readOptions(args, {
      config: { type: 'string' },
      'registry-config': { type: 'string' },
      offline: { type: 'boolean' },
      strict: { type: 'boolean' },
      mistakes: { type: 'boolean' },
      json: { type: 'boolean' },
      unit: { type: 'string' },
    });
    if (options.unit !== undefined) return checkAsUnit(options.unit, context);
    const now = () => Date.now() / 1000;
    let loaded: LoadedConfiguration;
    let opened: OpenedConfiguration;
    try {
      loaded = loadConfiguration(findConfigurationFile(options.config, env), env);
      opened = await openConfiguration(loaded, now());
    } catch (cause) {
      if (!(cause instanceof ConfigurationFault) || options.json !== true) throw cause;
      print(
        renderJson({
          findings: cause.mistakes.map(({ message, ...at }) => ({
            severity: 'error',
            code: 'configuration',
            place: formatPlace({ ...at, message }),
            fault: at.key === '' ? message : `${at.key}: ${message}`,
            mend: '',
          })),
          registrySample: null,
          clients: [],
          overrides: [],
          revokedLicenses: 0,
        }),
      );
      return 78;
    }
    if (options.mistakes === true) return 0;
    const { material, contents } = opened;
    const registryConfig = options['registry-config'];
    const registry =
      registryConfig === undefined
        ? { findings: [], host: null }
        : await findRegistryFaults(loaded, material.signingKey, registryConfig, now());
    const { entitlements } = material;
    const inForce = withBundle(loaded, entitlements);
    const policy = createPolicy(inForce.configuration, ...revokedSets(material));
    const certificates = certificatesOf({ loaded, contents, signingKey: material.signingKey });
    const findings = [
      ...findKeyFaults(loaded, material.signingKey),
      ...findCertificateEnds(loaded, certificates, now()),
      ...findEntitlementsFaults(loaded, entitlements, now()),
      ...findPolicyFaults(inForce, policy),
      ...findAuthorityRuleFaults(inForce, policy),
      ...registry.findings,
      ...(options.offline ? [] : await findAuthorityFaults(loaded, now)),
      ...(options.offline ? [] : await findRealmFaults(loaded)),
      ...(options.offline ? [] : await findRunningFaults(loaded)),
      ...findKeySetWarnings(loaded, opened.keySetWarnings),
    ];
    const report: Report = {
      findings,
      registrySample: await renderRegistrySample(loaded, material.signingKey),
      clients: reportClients(loaded.configuration, registry.host),
      overrides: loaded.overrides,
      revokedLicenses: policy.revokedLicenses.size,
    };
    print(options.json ? renderJson(report) : renderText(report, loaded.file));
    const failing = options.strict === true ? ['error', 'warning'] : ['error'];
    return findings.some(({ severity }) => failing.includes(severity)) ? 1 : 0;
  },
};

/** The same command, started by systemd as it would start the unit. */
async function checkAsUnit(unit: string, { args, env, self, print, tell }: CommandContext): Promise<number> {
  const { values, tokens } = parseArgs({
    args: [...args],
    options: { unit: { type: 'string' }, config: { type: 'string' }, 'registry-config': { type: 'string' } },
    strict: false,
    tokens: true,
  });
  const words = ['check'];
  for (const token of tokens) {
    if (token.kind !== 'option' || token.name === 'unit') continue;
    const isFile = token.name === 'config' || token.name === 'registry-config';
    words.push(
      token.rawName,
      ...(token.value === undefined ? [] : [isFile ? resolve(token.value) : token.value]),
    );
  }
  try {
    return await runAsUnit(unit.replace(/\.service$/, ''), {
      self,
      words,
      hasConfiguration: values.config !== undefined,
      env,
      write: { stdout: print, stderr: tell },
    });
  } catch (cause) {
    if (!(cause instanceof NoUnit)) throw cause;
    throw new CommandFailure(cause.message);
  }
}

interface Report {
  readonly findings: readonly Finding[];
  readonly registrySample: string | null;
  readonly clients: readonly ClientReport[];
  readonly overrides: LoadedConfiguration['overrides'];
  readonly revokedLicenses: number;
}

/** What is worth most comes last: a terminal shows the end. */
function renderText(report: Report, file: string): string {
  const { findings, registrySample, clients, overrides, revokedLicenses } = report;
  const lines = [
    ...(registrySample?.split('\n') ?? []),
    'Stock clients:',
    ...clients.map((entry) => `  ${entry.clients}: ${entry.served === 'yes' ? 'yes, ' : ''}${entry.how}`),
    '',
    ...overrides.map(({ key, variable }) => `The environment sets ${key} (${variable}).`),
    `${counted(revokedLicenses, 'revoked licence')}.`,
    '',
    ...findings.flatMap(({ severity, place, fault, mend }) => [
      `${place}: ${severity}: ${fault}`,
      ...(mend === '' ? [] : [`    ${mend}`]),
    ]),
    `${file}: would start${summarize(findings)}`,
    '',
  ];
  return lines.map(escapeText).join('\n');
}

function summarize(findings: readonly Finding[]): string {
  if (findings.length === 0) return ', without findings';
  const counts = (['error', 'warning', 'note'] as const)
    .map(
      (severity) => [findings.filter((finding) => finding.severity === severity).length, severity] as const,
    )
    .filter(([count]) => count > 0)
    .map(([count, severity]) => counted(count, severity));
  return `, with ${counted(findings.length, 'finding')} (${counts.join(', ')})`;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function renderJson(report: Report): string {
  return `${escapeLines(JSON.stringify(report, null, 2))}\n`;
}
