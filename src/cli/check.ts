/** `check`: everything `serve` would refuse, and what it would not. */
import { checkAuditPath } from '../assemble/audit-path.ts';
import { openAuthorityKeys } from '../assemble/authority.ts';
import { FileReader } from '../assemble/file-reader.ts';
import { type Material, openMaterial } from '../assemble/material.ts';
import { createPolicy } from '../assemble/options.ts';
import { checkSafety, checkSampleKey } from '../assemble/safety.ts';
import { findAuthorityFaults, findRealmFaults } from '../check/authority-findings.ts';
import type { Finding } from '../check/finding.ts';
import { findKeyFaults } from '../check/key-findings.ts';
import { findPolicyFaults } from '../check/policy-findings.ts';
import { findRegistryFaults } from '../check/registry-findings.ts';
import { renderRegistrySample } from '../check/registry-sample.ts';
import { findConfigurationFile, type LoadedConfiguration, loadConfiguration } from '../config/load.ts';
import { ConfigurationFault, formatPlace } from '../document/mistakes.ts';
import { escapeLines, escapeText } from '../platform/escape.ts';
import { type Command, readOptions } from './command.ts';

export const check: Command = {
  name: 'check',
  summary: 'validates the configuration, keys and certificates, and says what a registry must be given',
  help: `Usage: registry-token check [--config FILE] [--registry-config FILE] [--offline] [--strict] [--json]

Tells everything that serve would refuse, each with its place and exit 78, and then what serve would not refuse
and clients or registries would: keys others can read, certificates that end, clocks that differ, an Authority or
realm that does not answer, patterns that match nothing. Ends with the configuration that a registry must be given.

  --registry-config FILE   the registry's config.yml: compares realm, service, issuer and trusted keys
  --offline                asks nobody over the network
  --strict                 exit 1 where there is a warning or an error
  --json                   the same for programs

Exit codes: 0, 1 with findings under --strict, 2 usage, 78 the configuration has mistakes.

Example:
  registry-token check --config /etc/registry-token/registry-token.yaml --registry-config /etc/docker/registry/config.yml
`,
  run: async ({ args, env, print }) => {
    const options = readOptions(args, {
      config: { type: 'string' },
      'registry-config': { type: 'string' },
      offline: { type: 'boolean' },
      strict: { type: 'boolean' },
      json: { type: 'boolean' },
    });
    const now = () => Date.now() / 1000;
    let loaded: LoadedConfiguration;
    let material: Material;
    try {
      loaded = loadConfiguration(findConfigurationFile(options.config, env), env);
      material = await openAll(loaded, now());
    } catch (cause) {
      if (!(cause instanceof ConfigurationFault) || options.json !== true) throw cause;
      print(
        renderJson(
          cause.mistakes.map(({ message, ...at }) => ({
            severity: 'error',
            code: 'configuration',
            place: formatPlace({ ...at, message }),
            fault: `${at.key}: ${message}`,
            mend: '',
          })),
          null,
        ),
      );
      return 78;
    }
    const { authority } = loaded.configuration;
    const ca = new FileReader(loaded).readText('authority.caPath', authority.caPath);
    const registryConfig = options['registry-config'];
    const findings = [
      ...findKeyFaults(loaded, material.signingKey, now()),
      ...findPolicyFaults(loaded, createPolicy(loaded.configuration, material.revokedLicenses)),
      ...(registryConfig === undefined
        ? []
        : await findRegistryFaults(loaded, material.signingKey, registryConfig, now())),
      ...(options.offline ? [] : await findAuthorityFaults(loaded, ca, now)),
      ...(options.offline ? [] : await findRealmFaults(loaded, ca)),
    ];
    const sample = await renderRegistrySample(loaded, material.signingKey);
    print(options.json ? renderJson(findings, sample) : renderText(findings, sample, loaded));
    return options.strict && findings.some(({ severity }) => severity !== 'note') ? 1 : 0;
  },
};

/** Opens what serve would open. Throws ConfigurationFault with every mistake. */
async function openAll(loaded: LoadedConfiguration, now: number): Promise<Material> {
  const files = new FileReader(loaded);
  const material = await openMaterial(loaded, files, now);
  openAuthorityKeys(loaded, files, { onRefresh: () => {} });
  const mistakes = [...files.mistakes, ...checkSafety(loaded), ...checkAuditPath(loaded)];
  if (material !== null) mistakes.push(...checkSampleKey(loaded, material));
  if (mistakes.length > 0 || material === null) throw new ConfigurationFault(mistakes);
  return material;
}

function renderText(findings: readonly Finding[], sample: string, loaded: LoadedConfiguration): string {
  const lines = findings.map(
    ({ severity, place, fault, mend }) =>
      escapeText(`${place}: ${severity}: ${fault}`) + (mend === '' ? '' : `\n    ${escapeText(mend)}`),
  );
  const count = findings.filter(({ severity }) => severity !== 'note').length;
  const verdict = count === 0 ? 'nothing to mend' : `${count} to mend`;
  return `${[`${escapeText(loaded.file)}: serve would start; ${verdict}.`, ...lines, '', escapeLines(sample)].join('\n')}`;
}

function renderJson(findings: readonly Finding[], registrySample: string | null): string {
  return `${escapeLines(JSON.stringify({ findings, registrySample }, null, 2))}\n`;
}
