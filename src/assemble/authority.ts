/** The Authority's keys as the configuration names them: from a file, or over HTTP. */

import type { AuthorityKeys } from '../authenticate/authority-keys.ts';
import { createFileAuthorityKeys } from '../authority/file-authority-keys.ts';
import { RemoteAuthorityKeys, type RemoteAuthorityOptions } from '../authority/remote-authority-keys.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { holdsCertificate } from '../platform/pem.ts';
import type { FileReader } from './files.ts';
import { metadataUrls } from './options.ts';

/** Who fetches the Authority's keys, and who is told of it. */
export type KeyFetching = Pick<RemoteAuthorityOptions, 'onRefresh' | 'onKeySet' | 'fetchKeySet' | 'proxies'>;

/** The name of the Authority of `authority`. */
const DEFAULT_NAME = 'default';

/**
 * Opens the keys of each Authority, by its name; null where a file cannot be used, which `files` then reports. Nothing is
 * fetched yet.
 */
export function openAuthorityKeys(
  loaded: LoadedConfiguration,
  files: FileReader,
  fetching: KeyFetching,
): ReadonlyMap<string, AuthorityKeys> | null {
  const keys = openKeys(loaded, files, fetching);
  return keys === null ? null : new Map([[DEFAULT_NAME, keys]]);
}

function openKeys(
  loaded: LoadedConfiguration,
  files: FileReader,
  fetching: KeyFetching,
): AuthorityKeys | null {
  const { authority, limits } = loaded.configuration;
  const certificateAuthorities = files.readText('authority.caPath', authority.caPath);
  if (certificateAuthorities !== null && !holdsCertificate(certificateAuthorities))
    files.report('authority.caPath', 'holds no PEM certificate');
  if (authority.jwksPath === undefined) {
    const [metadataUrl, otherMetadataUrl = null] = metadataUrls(loaded.configuration);
    return new RemoteAuthorityKeys({
      issuer: authority.issuer,
      metadataUrl,
      otherMetadataUrl,
      certificateAuthorities,
      ...fetching,
      ...(limits?.inFlight === undefined ? {} : { mostWaiting: Math.ceil(limits.inFlight / 2) }),
    });
  }
  const jwks = files.readText('authority.jwksPath', authority.jwksPath);
  if (jwks === null) return null;
  try {
    return createFileAuthorityKeys(jwks);
  } catch (cause) {
    files.report('authority.jwksPath', cause instanceof Error ? cause.message : 'cannot be used');
    return null;
  }
}
