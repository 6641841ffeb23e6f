/** The OpTok that a stock client is handed as a password: bound to the certificate, from the cache or new. */
import { certificateThumbprint } from './certificate-binding.ts';
import { ClientFault } from './client-fault.ts';
import { type ClientSettings, type ClientSurroundings, openAuthorityClient } from './client-settings.ts';
import type { CachedOpTok, OpTokCache } from './op-tok-cache.ts';
import { readTextFile } from './read-file.ts';

export interface BoundOpTok {
  readonly accessToken: string;
  /** Epoch seconds; null where the Authority does not say: such an OpTok is not kept. */
  readonly expiresAt: number | null;
}

/** Throws ClientFault where the settings have no certificate, the Authority refuses, or binds to nothing. */
export async function obtainBoundOpTok(
  settings: ClientSettings,
  cache: OpTokCache,
  surroundings: ClientSurroundings,
): Promise<BoundOpTok> {
  const { certificate } = settings;
  if (certificate === null)
    throw new ClientFault(
      'a client that is handed an OpTok as a password shows who it is by a certificate, and there is none: set ' +
        "certPath and keyPath to the client certificate in its certificate folder; with DPoP alone, use 'token'",
    );
  const client = openAuthorityClient(settings, 'certificate', surroundings);
  const text = readTextFile(certificate.certPath, 'the client certificate');
  const key = cacheKey(settings, text);
  const cached: CachedOpTok | null = cache.find(key, surroundings.clock());
  if (cached !== null) return cached;
  const { accessToken, expiresAt } = await client.requestOpTok();
  if (expiresAt !== null) cache.keep(key, { accessToken, expiresAt });
  return { accessToken, expiresAt };
}

/** Removes what is kept for these settings. Throws ClientFault where the certificate cannot be read. */
export function forgetBoundOpTok(settings: ClientSettings, cache: OpTokCache): void {
  const { certificate } = settings;
  if (certificate === null) return;
  cache.forget(cacheKey(settings, readTextFile(certificate.certPath, 'the client certificate')));
}

/** Whatever changes what the Authority would give makes another key: a new certificate above all. */
function cacheKey(settings: ClientSettings, certificate: string): string {
  const { authority, clientId, scope, resources, audience } = settings;
  return JSON.stringify([
    authority,
    clientId,
    scope,
    resources,
    audience,
    certificateThumbprint(certificate),
  ]);
}
