/** The caller that an OpTok stands for, outside a request: for `explain`, and never for issuing. */
import type { VerifiedCaller } from '../authenticate/authenticate.ts';
import { parseCompactJws } from '../authenticate/compact-jws.ts';
import { checkOpTokClaims, checkRequiredScopes, parseOpTok } from '../authenticate/op-tok.ts';
import { Signatures } from '../authenticate/signatures.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { ConfigurationFault } from '../document/mistakes.ts';
import { Refusal } from '../refusal.ts';
import { openAuthorityKeys } from './authority.ts';
import { FileReader } from './files.ts';
import { authenticateOptions } from './options.ts';

/** Reads an OpTok without verifying anything. Throws `token-malformed`. */
export function readOpTokCaller(text: string): VerifiedCaller {
  const jws = parseCompactJws(text, 16 * 1024);
  if (jws === null) throw new Refusal('token-malformed', 'The OpTok is no compact JWS in strict base64url.');
  const { sub } = jws.payload;
  return {
    kind: 'verified',
    authority: 'default',
    subject: typeof sub === 'string' ? sub : '',
    claims: jws.payload,
  };
}

/**
 * Verifies an OpTok as the service does, but for its sender: whether whoever holds it may use it is not looked at.
 * Throws a Refusal, or ConfigurationFault for files that cannot be used. `now` in epoch seconds.
 */
export async function verifyOpTokCaller(
  loaded: LoadedConfiguration,
  text: string,
  now: number,
): Promise<VerifiedCaller> {
  const options = authenticateOptions(loaded.configuration).opTok;
  const opTok = parseOpTok(text, options);
  checkOpTokClaims(opTok, options, now);
  const files = new FileReader(loaded);
  const authorityKeys = openAuthorityKeys(loaded, files, { onRefresh: () => {} });
  const [keys] = authorityKeys?.values() ?? [];
  if (keys === undefined || files.mistakes.length > 0) throw new ConfigurationFault(files.mistakes);
  await new Signatures(keys).verifyOpTok(opTok, '', now);
  checkRequiredScopes(opTok, options);
  return { kind: 'verified', authority: 'default', subject: opTok.subject, claims: opTok.jws.payload };
}
