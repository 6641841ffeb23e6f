/** The caller that an OpTok stands for, outside a request: for `explain`, and never for issuing. */
import type { VerifiedCaller } from '../authenticate/authenticate.ts';
import type { VerificationKeys } from '../authenticate/authority-keys.ts';
import type { CompactJws, JsonObject } from '../authenticate/compact-jws.ts';
import {
  type Authorities,
  type Authority,
  checkAlgorithm,
  checkAudience,
  checkBinding,
  checkHeaderMembers,
  checkRequiredScopes,
  checkTimes,
  checkType,
  clientIdOf,
  parseConfirmation,
  parseOpTokText,
  selectAuthority,
  subjectOf,
} from '../authenticate/op-tok.ts';
import { Signatures } from '../authenticate/signatures.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { authoritiesOf } from '../config/schema.ts';
import { ConfigurationFault } from '../document/mistakes.ts';
import { Refusal } from '../refusal.ts';
import { openAuthorityKeys } from './authority.ts';
import { FileReader } from './files.ts';
import { createAuthorities } from './options.ts';

/** An OpTok taken apart, with everything that the service would refuse it for. */
export interface ExaminedOpTok {
  readonly header: JsonObject;
  readonly claims: JsonObject;
  /** Whose rules it was examined by; null if its `iss` names none of several Authorities. */
  readonly authority: string | null;
  /** Each with what was found and what is expected. Empty unless `verify`. */
  readonly faults: readonly Refusal[];
  /** As if it had no fault; null without an Authority. */
  readonly caller: VerifiedCaller | null;
}

export interface Examination {
  /** Without it nothing is checked but that the text is a JWS, and no key is opened. */
  readonly verify: boolean;
  /** Epoch seconds. */
  readonly now: number;
}

/**
 * Examines an OpTok by the checks of the service, except those of its sender. Throws `token-malformed` for a text that is
 * no JWS, and ConfigurationFault for files that cannot be used.
 */
export async function examineOpTok(
  loaded: LoadedConfiguration,
  text: string,
  { verify, now }: Examination,
): Promise<ExaminedOpTok> {
  const jws = parseOpTokText(text);
  const { header, payload: claims } = jws;
  const authorities = createAuthorities(loaded.configuration, openKeys(loaded, verify));
  const faults: Refusal[] = [];
  const selected = await attempt(faults, () => selectAuthority(jws, authorities));
  // With the rules of the only Authority more can be said of a token of another issuer.
  const authority = selected ?? onlyOf(authorities);
  if (authority !== null && verify) await checkAll(jws, authority, selected !== null, now, faults);
  const subject = authority === null ? null : await attempt([], () => subjectOf(claims, authority));
  return {
    header,
    claims,
    authority: authority?.name ?? null,
    faults: verify ? faults : [],
    caller:
      authority === null
        ? null
        : {
            kind: 'verified',
            authority: authority.name,
            subject: subject ?? '',
            clientId: clientIdOf(claims),
            opTokJti: null,
            claims,
          },
  };
}

async function checkAll(
  jws: CompactJws,
  authority: Authority,
  isItsIssuer: boolean,
  now: number,
  faults: Refusal[],
): Promise<void> {
  const { header, payload: claims } = jws;
  await attempt(faults, () => checkType(header, authority));
  await attempt(faults, () => checkHeaderMembers(header));
  const algorithm = await attempt(faults, () => checkAlgorithm(header, authority));
  const subject = await attempt(faults, () => subjectOf(claims, authority));
  const confirmation = await attempt(faults, () => parseConfirmation(claims.cnf));
  if (confirmation !== null) await attempt(faults, () => checkBinding({ confirmation, authority }));
  await attempt(faults, () => checkAudience(claims, authority));
  await attempt(faults, () => checkTimes(claims, authority, now));
  await attempt(faults, () => checkRequiredScopes({ claims, authority }));
  // The key of another issuer says nothing.
  if (algorithm === null || !isItsIssuer) return;
  const opTok = {
    authority,
    algorithm,
    keyId: typeof header.kid === 'string' ? header.kid : null,
    subject: subject ?? '',
    clientId: null,
    confirmation: confirmation ?? { jkt: null, x5tS256: null },
    claims,
  };
  await attempt(faults, () => new Signatures().verifyOpTok(opTok, jws, '', now));
}

/** What a check returns; null if it refuses, which is added to `faults`. */
async function attempt<Value>(faults: Refusal[], check: () => Value | Promise<Value>): Promise<Value | null> {
  try {
    return await check();
  } catch (cause) {
    if (!(cause instanceof Refusal)) throw cause;
    faults.push(cause);
    return null;
  }
}

function onlyOf(authorities: Authorities): Authority | null {
  const [first = null, ...others] = authorities.values();
  return others.length === 0 ? first : null;
}

function openKeys(loaded: LoadedConfiguration, verify: boolean) {
  const files = new FileReader(loaded);
  const nothing = { onRefresh: () => {}, onWarning: () => {} };
  const keys = verify ? openAuthorityKeys(loaded, files, nothing) : noKeys(loaded);
  if (keys === null || files.mistakes.length > 0) throw new ConfigurationFault(files.mistakes);
  return keys;
}

function noKeys({ configuration }: LoadedConfiguration): ReadonlyMap<string, VerificationKeys> {
  const find = () => Promise.reject(new Error('no keys were opened'));
  return new Map(authoritiesOf(configuration).map(({ name }) => [name, { generation: 0, find }]));
}
