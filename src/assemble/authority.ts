/** The Authority's keys as the configuration names them: from a file, or over HTTP. */

import type { AuthorityKeys } from '../authenticate/authority-keys.ts';
import { createFileAuthorityKeys } from '../authority/file-authority-keys.ts';
import { RemoteAuthorityKeys, type RemoteAuthorityOptions } from '../authority/remote-authority-keys.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { authoritiesOf, type Configuration, type NamedAuthority } from '../config/schema.ts';
import { holdsCertificate } from '../platform/pem.ts';
import type { FileReader } from './files.ts';
import { metadataUrls } from './options.ts';

/** Who fetches the Authorities' keys, and who is informed. */
export interface KeyFetching {
  /** Threads that answer requests, each with its share of `limits.inFlight`; default 1. */
  readonly workers?: number;
  /** Told of each fetch: the Authority's name, and `null` or what went wrong. */
  readonly onRefresh: (authority: string, fault: string | null) => void;
  /** Called with what is wrong with a key set that is used anyway. */
  readonly onWarning: (authority: string, warning: string) => void;
  readonly onKeySet?: RemoteAuthorityOptions['onKeySet'];
  readonly fetchKeySet?: RemoteAuthorityOptions['fetchKeySet'];
  readonly proxies?: RemoteAuthorityOptions['proxies'];
}

/**
 * Opens the keys of each Authority, by its name; null if a file cannot be used, which `files` then reports. Nothing is
 * fetched yet.
 */
export function openAuthorityKeys(
  loaded: LoadedConfiguration,
  files: FileReader,
  fetching: KeyFetching,
): ReadonlyMap<string, AuthorityKeys> | null {
  const opened = authoritiesOf(loaded.configuration).map(
    (authority) => [authority.name, openKeys(authority, loaded, files, fetching)] as const,
  );
  const usable = opened.flatMap(([name, keys]) => (keys === null ? [] : [[name, keys] as const]));
  return usable.length === opened.length ? new Map(usable) : null;
}

function openKeys(
  authority: NamedAuthority,
  loaded: LoadedConfiguration,
  files: FileReader,
  { workers = 1, onRefresh, onWarning, onKeySet, fetchKeySet }: KeyFetching,
): AuthorityKeys | null {
  const { name, settings } = authority;
  const certificateAuthorities = readCertificateAuthorities(authority, files);
  if (settings.jwksPath === undefined) {
    const [metadataUrl, otherMetadataUrl = null] = metadataUrls(settings);
    return new RemoteAuthorityKeys({
      issuer: settings.issuer,
      metadataUrl,
      otherMetadataUrl,
      certificateAuthorities,
      maxAge: settings.keysMaxAge,
      onRefresh: (fault) => onRefresh(name, fault),
      onWarning: (warning) => onWarning(name, warning),
      ...(onKeySet === undefined ? {} : { onKeySet }),
      ...(fetchKeySet === undefined ? {} : { fetchKeySet }),
      ...mostWaiting(loaded.configuration, workers),
    });
  }
  const key = [...authority.path, 'jwksPath'].join('.');
  const jwks = files.readText(key, settings.jwksPath);
  if (jwks === null) return null;
  try {
    return createFileAuthorityKeys(jwks, (warning) => onWarning(name, warning));
  } catch (cause) {
    files.report(key, cause instanceof Error ? cause.message : 'cannot be used');
    return null;
  }
}

/**
 * All Authorities together keep half of a thread's requests waiting at most: anyone can name an unknown key, and a silent
 * Authority would otherwise stop those whose keys are known.
 */
function mostWaiting(configuration: Configuration, workers: number): { mostWaiting?: number } {
  const inFlight = configuration.limits?.inFlight;
  if (inFlight === undefined) return {};
  const authorities = authoritiesOf(configuration).length;
  return { mostWaiting: Math.max(1, Math.floor(inFlight / workers / 2 / authorities)) };
}

/** The certificates that an Authority's own is verified with; null for those of the system. */
export function readCertificateAuthorities(
  { path, settings }: NamedAuthority,
  files: FileReader,
): string | null {
  const key = [...path, 'caPath'].join('.');
  const pem = files.readText(key, settings.caPath);
  if (pem !== null && !holdsCertificate(pem)) files.report(key, 'holds no PEM certificate');
  return pem;
}
