/** What must not be started although each value alone is right. */
import { accessSync, constants, type Stats, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { normalizeUrl } from '../authenticate/url.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { authoritiesOf } from '../config/schema.ts';
import type { Mistake } from '../document/mistakes.ts';
import { otherPaths } from '../endpoints.ts';
import { SAMPLE_KEY_THUMBPRINT } from '../keys/key-ids.ts';
import { explainError } from '../platform/errors.ts';
import { isLoopback, isSecureUrl } from '../platform/loopback.ts';
import { isForeign } from '../replay/replay-state.ts';
import type { Material } from './material.ts';
import { metadataUrls, realmPath } from './options.ts';

/** Mistakes that show between the values. */
export function checkSafety(loaded: LoadedConfiguration): Mistake[] {
  const { registry } = loaded.configuration;
  const mistakes: Mistake[] = [];
  for (const realm of registry.realm) {
    if (normalizeUrl(realm) === null)
      mistakes.push(
        loaded.mistakeAt('registry.realm', 'cannot appear in a proof; write it as https://host/path'),
      );
    if (otherPaths.some((path) => path === realmPath(realm)))
      mistakes.push(
        loaded.mistakeAt('registry.realm', `${realmPath(realm)} is reserved for another endpoint`),
      );
  }
  for (const { path, settings } of authoritiesOf(loaded.configuration)) {
    if (settings.jwksPath !== undefined || isSecureUrl(URL.parse(metadataUrls(settings)[0]))) continue;
    const key = [...path, settings.metadataUrl === undefined ? 'issuer' : 'metadataUrl'].join('.');
    mistakes.push(
      loaded.mistakeAt(
        key,
        'uses http, and not on loopback: anyone in between could replace the keys; use https or jwksPath',
      ),
    );
  }
  return [...mistakes, ...checkStatePath(loaded)];
}

/** Whether the used proofs can be kept where the configuration says. Nothing is written here. */
function checkStatePath(loaded: LoadedConfiguration): Mistake[] {
  const { statePath } = loaded.configuration.senderConstraint.replay;
  if (statePath === undefined) return [];
  const key = 'senderConstraint.replay.statePath';
  const file = loaded.resolvePath(statePath);
  const folder = dirname(file);
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (cause) {
    const fault = `cannot write to the folder ${folder}: ${explainError(cause, 'write')}`;
    return [loaded.mistakeAt(key, fault)];
  }
  try {
    if (!isForeign(file)) return [];
    const fault = `${file} contains something other than used proofs and would be overwritten; name another file`;
    return [loaded.mistakeAt(key, fault)];
  } catch (cause) {
    return [loaded.mistakeAt(key, `${file} cannot be read: ${explainError(cause, 'read')}`)];
  }
}

/** The sample key signs, and is published, only where every listen address and realm is loopback: everybody has it. */
export function checkSampleKey(
  loaded: LoadedConfiguration,
  { signingKey, additionalKeys }: Material,
): Mistake[] {
  const { server, telemetry, registry } = loaded.configuration;
  // A socket of the file system is on this machine.
  const listening = [server.listen, telemetry?.listen ?? server.listen].filter(
    (address) => 'host' in address,
  );
  const hosts = [
    ...listening.map(({ host }) => host),
    ...registry.realm.map((realm) => new URL(realm).hostname),
  ];
  const beyond = hosts.find((host) => !isLoopback(host));
  if (beyond === undefined) return [];
  const mistakeAt = (key: string) =>
    loaded.mistakeAt(
      key,
      `is the sample key, which is public, and ${beyond} is not loopback; make a key: registry-token keygen --out DIR`,
    );
  const isSample = ({ thumbprint }: { readonly thumbprint: string }) => thumbprint === SAMPLE_KEY_THUMBPRINT;
  return [
    ...(isSample(signingKey) ? [mistakeAt('signing.keyPath')] : []),
    ...(additionalKeys.some(isSample) ? [mistakeAt('signing.additionalKeys')] : []),
  ];
}

/** The audit file must be one that can be appended to. Nothing is created here: it would belong to the user who runs `check`. */
export function checkAuditPath(loaded: LoadedConfiguration): Mistake[] {
  const { auditPath } = loaded.configuration.logging;
  if (auditPath === undefined) return [];
  const path = loaded.resolvePath(auditPath);
  const fault = auditPathFault(path);
  return fault === null ? [] : [loaded.mistakeAt('logging.auditPath', fault)];
}

function auditPathFault(path: string): string | null {
  const folder = dirname(path);
  if (!kindOf(folder)?.isDirectory())
    return `the folder ${folder} does not exist; create it, writable by the service's user`;
  const kind = kindOf(path);
  // To open a pipe would wait for its reader. A device is for tests of a full disk.
  if (kind === null || kind.isFile() || kind.isCharacterDevice()) return null;
  return `${path} is a folder, a pipe or a socket: name a file`;
}

function kindOf(path: string): Stats | null {
  try {
    return statSync(path);
  } catch {
    return null;
  }
}
