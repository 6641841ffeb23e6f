/** The token for a request: remembers which scopes the registry's challenges asked for, and gets tokens for them. */

import { excerpt } from '../../platform/escape.ts';
import { parseBearerChallenge } from '../challenge.ts';
import { ClientFault } from '../client-fault.ts';
import { type ClientParts, whyNotLedTo } from '../http.ts';
import type { NewOpTok, OpTok } from '../op-tok.ts';
import { type RegistryTokenRequest, requestRegistryToken } from '../registry-token.ts';
import { AgentRefusal, type RequiredAccess } from './check-request.ts';
import { type ObtainedToken, type RemainingLife, SharedTokens } from './shared-tokens.ts';

export interface AccessOptions {
  /** The registry's origin. */
  readonly registry: URL;
  readonly parts: ClientParts;
  readonly requestOpTok: () => Promise<NewOpTok>;
  /** The only realm and service that may be used; null for whatever the registry names. */
  readonly realm: string | null;
  readonly service: string | null;
  /** Called with the realm and the service that are used, and again if the registry names others. */
  readonly onTokenService: (found: { readonly realm: string; readonly service: string }) => void;
  /** Asks the registry for `/v2/` without a token: the WWW-Authenticate field of its 401, else null. */
  readonly probe: () => Promise<string | null>;
}

export interface Access {
  readonly token: string;
  /** How it was got, in words: "kept", "new, by DPoP". */
  readonly origin: string;
  /** For a token that the registry refused: it is not used again. */
  readonly forget: () => void;
}

type TokenService = Omit<RegistryTokenRequest, 'scopes'>;

interface BoundToken {
  readonly token: string;
  /** How its OpTok is bound, in words. */
  readonly binding: string;
}

/** For tokens whose lifetime the Authority or the service does not state: the least that clients assume. */
const UNKNOWN_LIFETIME_S = 60;
const MAX_LEARNED = 1000;

export class RegistryAccess {
  readonly #options: AccessOptions;
  readonly #opToks: SharedTokens<OpTok>;
  readonly #tokens: SharedTokens<BoundToken>;
  readonly #learned = new Map<string, RegistryTokenRequest>();
  #tokenService: TokenService | null = null;

  constructor(options: AccessOptions) {
    this.#options = options;
    this.#opToks = new SharedTokens(options.parts.clock);
    this.#tokens = new SharedTokens(options.parts.clock);
  }

  /**
   * The token for what the registry is known to ask for; null if that is not known, or nothing: then the request is sent
   * without one, and the 401 tells. For what cannot be sent twice (`upload`), the usual scopes are requested. Throws ClientFault if there is no token.
   */
  async find(need: RequiredAccess, life: RemainingLife): Promise<Access | null> {
    const known = this.#learned.get(need.key) ?? (life === 'upload' ? await this.#guess(need) : null);
    if (known === null) return null;
    const key = JSON.stringify([known.realm, known.service, known.scopes]);
    const { value, isNew } = await this.#tokens.get(key, life, () => this.#requestToken(known));
    const origin = isNew ? `new, ${value.binding}` : 'kept';
    return { token: value.token, origin, forget: () => this.#tokens.forget(key, value) };
  }

  /** Remembers what a 401 asks for. False if it has no Bearer challenge. Throws AgentRefusal if the challenge cannot be used. */
  learn(need: RequiredAccess, field: string): boolean {
    const challenge = parseBearerChallenge(field);
    if (challenge === null) return false;
    const found = this.#believe(challenge);
    const scopes = (challenge.scope ?? '').split(' ').filter((scope) => scope !== '');
    this.#learned.delete(need.key);
    this.#learned.set(need.key, { ...found, scopes: scopes.sort() });
    for (const oldest of this.#learned.keys()) {
      if (this.#learned.size <= MAX_LEARNED) break;
      this.#learned.delete(oldest);
    }
    return true;
  }

  async #guess({ usualScopes }: RequiredAccess): Promise<RegistryTokenRequest | null> {
    if (this.#tokenService === null) {
      const challenge = parseBearerChallenge((await this.#options.probe()) ?? '');
      if (challenge !== null) this.#believe(challenge);
    }
    return this.#tokenService === null ? null : { ...this.#tokenService, scopes: [...usualScopes].sort() };
  }

  #believe(challenge: Readonly<Record<string, string>>): TokenService {
    const found = this.#checkTokenService(challenge);
    const { realm, service } = found;
    if (this.#tokenService?.realm !== realm || this.#tokenService.service !== service)
      this.#options.onTokenService(found);
    this.#tokenService = found;
    return found;
  }

  /** A registry could name another registry's service, and would get a token that is valid there. */
  #checkTokenService({ realm = '', service = '' }: Readonly<Record<string, string>>): TokenService {
    const fault = (why: string) =>
      new AgentRefusal(502, 'UNAVAILABLE', `The registry's 401 names ${why}, so no token is requested.`);
    const url = URL.parse(realm);
    if (this.#options.realm !== null && this.#options.realm !== realm)
      throw fault(`the realm ${excerpt(realm)} not the one that was given to the agent`);
    // A realm that the user has given may be on this machine, wherever the registry is.
    const namedBy = this.#options.realm === null ? this.#options.registry : new URL('http://localhost');
    const whyNot = whyNotLedTo(url, namedBy);
    if (whyNot !== null) throw fault(`a realm that ${whyNot}`);
    if (service === '') throw fault('no service');
    if (this.#options.service !== null && this.#options.service !== service)
      throw fault(`the service ${excerpt(service)} not the one that was given to the agent`);
    return { realm, service, isRealmNamed: this.#options.realm !== null };
  }

  async #requestToken(request: RegistryTokenRequest): Promise<ObtainedToken<BoundToken>> {
    const opTok = await this.#opTok();
    try {
      return await this.#exchange(opTok.value, request);
    } catch (cause) {
      // A kept OpTok may have become invalid: revoked, or signed by a key that the Authority has replaced.
      if (opTok.isNew || !(cause instanceof ClientFault) || cause.status !== 401) throw cause;
      this.#opToks.forget('', opTok.value);
      return this.#exchange((await this.#opTok()).value, request);
    }
  }

  async #exchange(opTok: OpTok, request: RegistryTokenRequest): Promise<ObtainedToken<BoundToken>> {
    const { token, answer } = await requestRegistryToken(opTok, request, this.#options.parts);
    const lifetime = answer.expires_in;
    return {
      value: { token, binding: bindingOf(opTok) },
      lifetime: typeof lifetime === 'number' && lifetime > 0 ? lifetime : UNKNOWN_LIFETIME_S,
    };
  }

  #opTok(): ReturnType<SharedTokens<OpTok>['get']> {
    const { requestOpTok, parts } = this.#options;
    return this.#opToks.get('', 'moment', async () => {
      const askedAt = parts.clock();
      const opTok = await requestOpTok();
      if (!opTok.isReusable) return { value: opTok, lifetime: 0 };
      const lifetime = opTok.expiresAt === null ? UNKNOWN_LIFETIME_S : opTok.expiresAt - askedAt;
      return { value: opTok, lifetime };
    });
  }
}

function bindingOf({ dpopKey, isBearer }: OpTok): string {
  if (isBearer) return 'by a bearer token';
  return dpopKey === null ? 'by the certificate' : 'by DPoP';
}
