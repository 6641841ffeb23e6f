/** The options that the client's commands share, how they combine with a profile, and how faults end a command. */
import { createHash } from 'node:crypto';
import { isAbsolute, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AuthorityClient } from '../../client/authority-client.ts';
import {
  type ClientAuthenticationMethod,
  clientAuthenticationMethods,
} from '../../client/client-authentication.ts';
import { ClientFault } from '../../client/client-fault.ts';
import type { ClientDependencies, ClientSettings } from '../../client/client-settings.ts';
import type { GivenOpTok } from '../../client/given-op-tok.ts';
import type { LoginSource } from '../../client/login.ts';
import type { Binding } from '../../client/op-tok.ts';
import { escapeText } from '../../platform/escape.ts';
import { type Command, type CommandContext, CommandFailure, required, UsageError } from '../command.ts';
import { chooseProfile, findProfilesFile, loadProfiles, type Profile } from './profile.ts';

/** For `readOptions`, beside a command's own. */
export const clientOptions = {
  profile: { type: 'string' },
  profiles: { type: 'string' },
  authority: { type: 'string' },
  'client-id': { type: 'string' },
  'client-auth': { type: 'string' },
  'client-secret-path': { type: 'string' },
  'client-key': { type: 'string' },
  'client-key-id': { type: 'string' },
  'assertion-audience': { type: 'string' },
  cert: { type: 'string' },
  key: { type: 'string' },
  'authority-scope': { type: 'string' },
  audience: { type: 'string' },
  resource: { type: 'string', multiple: true },
  login: { type: 'boolean' },
  'op-tok-path': { type: 'string' },
  'op-tok-env': { type: 'string' },
  'op-tok-command': { type: 'string' },
  bind: { type: 'string' },
  'dpop-key': { type: 'string' },
  ca: { type: 'string' },
} as const;

/** For the help of a command that takes them. */
export const clientOptionsHelp = `The profile:
  --profile NAME             the profile for everything that is not given here
  --profiles FILE            the file with the profiles. Default: $XDG_CONFIG_HOME/registry-token/client.yaml
                             (~/.config/... if that variable is not set), else /etc/registry-token/client.yaml
An OpTok from the Authority:
  --authority URL            its issuer, exactly as its access tokens name it
  --client-id ID             the client
  --client-secret-path FILE  its secret; sent in the form (client_secret_post) if the Authority takes it only there
  --client-key FILE          its key, PEM or JWK (private_key_jwt, RFC 7523)
  --client-key-id ID         the kid that the Authority knows the key by. Default: the kid of the JWK
  --assertion-audience URL   the audience of assertions. Default: the issuer; some Authorities want the token endpoint
  --cert FILE, --key FILE    its certificate and key, PEM (tls_client_auth); also presented to the realm
  --client-auth METHOD       how the client authenticates, if the above leaves a choice: client_secret_basic,
                             client_secret_post, private_key_jwt, tls_client_auth, self_signed_tls_client_auth, none
  --authority-scope SCOPE    the scope of the OpTok. Default: registry.token.issue
  --audience NAME            the audience of the OpTok, for Authorities that take this parameter
  --resource URI             the same by RFC 8707; may be repeated
  --login                    by the login of a person (registry-token login), in place of the client's own credentials;
                             the same as login: true in the profile
An OpTok that exists already, in place of --authority and --client-id; it is read again at each use:
  --op-tok-path FILE         in a file of this user or of root
  --op-tok-env NAME          in an environment variable
  --op-tok-command COMMAND   printed by a shell command within 15 s
Its cnf says what it is bound to. One that is bound to nothing is a bearer token: it is sent only to a realm that
you name (--realm, or realm in the profile), over https.
For both:
  --bind BINDING             what the OpTok must be bound to: dpop or certificate. Default: the DPoP key if one is
                             named, else the certificate if the Authority says that it binds to certificates, else
                             a DPoP key
  --dpop-key FILE            the DPoP key, PEM or JWK; created if the file does not exist. Without it, a new key
                             is used for this one run
  --ca FILE                  the certificate authorities to trust in place of the system's, PEM
`;

const {
  login: _,
  'op-tok-path': _path,
  'op-tok-env': _env,
  'op-tok-command': _command,
  ...authorityOptions
} = clientOptions;

/** For `readOptions` of `login` and `logout`: all that concerns an Authority. */
export const loginOptions = authorityOptions;

export const loginOptionsHelp = `The profile:
  --profile NAME             the profile for everything that is not given here
  --profiles FILE            the file with the profiles. Default: $XDG_CONFIG_HOME/registry-token/client.yaml
                             (~/.config/... if that variable is not set), else /etc/registry-token/client.yaml
The Authority:
  --authority URL            its issuer, exactly as its access tokens name it
  --client-id ID             the client
  --client-secret-path FILE, --client-key FILE, --client-key-id ID, --client-auth METHOD, --assertion-audience URL
                             as of 'token', if the client is not a public one
  --authority-scope SCOPE    the scope of the OpToks. Default: registry.token.issue
  --audience NAME            the audience of the OpToks, for Authorities that take this parameter
  --resource URI             the same by RFC 8707; may be repeated
  --bind BINDING             what the tokens are bound to: dpop or certificate. Default: a DPoP key, unless there is a
                             certificate and the Authority says that it binds to certificates
  --dpop-key FILE            the DPoP key, created if the file does not exist; the login is kept in FILE.login.
                             Default: both in $XDG_STATE_HOME/registry-token (~/.local/state/registry-token)
  --cert FILE, --key FILE    the client certificate and its key, PEM
  --ca FILE                  the certificate authorities to trust in place of the system's, PEM
`;

/** The values of `clientOptions`. */
export type ClientOptionValues = {
  readonly [Name in Exclude<keyof typeof clientOptions, 'resource' | 'login'>]?: string | undefined;
} & { readonly resource?: readonly string[] | undefined; readonly login?: boolean | undefined };

/** The profile of this name; an empty one if none is named. Throws ConfigurationFault. */
export function readProfile(
  { profile: name, profiles: path }: ClientOptionValues,
  env: Readonly<Record<string, string | undefined>>,
): Partial<Profile> {
  if (name === undefined) {
    if (path !== undefined)
      throw new UsageError('--profiles needs --profile, the name of one of its profiles');
    return {};
  }
  const { file } = findProfilesFile(path, env);
  return chooseProfile(loadProfiles(file), name, file).profile;
}

/** Throws UsageError if something is missing or contradicts another. */
export function toClientSettings(
  options: ClientOptionValues,
  profile: Partial<Profile>,
  env: CommandContext['env'],
): ClientSettings {
  if ((options.cert === undefined) !== (options.key === undefined))
    throw new UsageError('--cert and --key must be given together');
  const certPath = options.cert ?? profile.certPath;
  const keyPath = options.key ?? profile.keyPath;
  const certificate = certPath === undefined || keyPath === undefined ? null : { certPath, keyPath };
  const dpopKeyPath = options['dpop-key'] ?? profile.dpopKeyPath ?? null;
  const isLogin = options.login === true || profile.login === true;
  const fromAuthority = (): ClientSettings['source'] => {
    const client = authorityClient(options, profile, isLogin || certificate !== null);
    return isLogin ? loginSource(client, dpopKeyPath, env) : { kind: 'authority', ...client };
  };
  return {
    source: givenOpTok(options, profile) ?? fromAuthority(),
    bind: parseBind(options.bind) ?? profile.bind ?? null,
    certificate,
    caPath: options.ca ?? profile.caPath ?? null,
    dpopKeyPath,
  };
}

/**
 * The login is kept beside the DPoP key, if one is named; else both are in the user's state folder (XDG Base Directory), in files
 * whose names tell what the login is for.
 */
function loginSource(
  client: AuthorityClient,
  dpopKeyPath: string | null,
  env: CommandContext['env'],
): LoginSource {
  if (dpopKeyPath !== null)
    return { kind: 'login', ...client, dpopKeyPath, loginPath: `${dpopKeyPath}.login`, isKeyNamed: true };
  const { XDG_STATE_HOME: state = '', HOME: home = '' } = env;
  // A path that is not absolute must be ignored.
  const folder = isAbsolute(state) ? state : join(home, '.local/state');
  if (!isAbsolute(folder))
    throw new UsageError(
      'a login needs a folder: set HOME or XDG_STATE_HOME, or name its DPoP key (--dpop-key, dpopKeyPath)',
    );
  const { authority, clientId, scope, resources, audience } = client;
  const purpose = JSON.stringify([authority, clientId, scope, resources, audience]);
  const hash = createHash('sha256').update(purpose).digest('hex').slice(0, 16);
  const path = join(folder, 'registry-token', `${URL.parse(authority)?.hostname ?? ''}-${hash}`);
  return {
    kind: 'login',
    ...client,
    dpopKeyPath: `${path}.pem`,
    loginPath: `${path}.login`,
    isKeyNamed: false,
  };
}

/** An option that names a source of OpToks replaces that of the profile. null if the OpTok comes from an Authority. */
function givenOpTok(options: ClientOptionValues, profile: Partial<Profile>): GivenOpTok | null {
  const sourcesOf = (path?: string, name?: string, command?: string): GivenOpTok[] => [
    ...(path === undefined ? [] : [{ kind: 'path', path } as const]),
    ...(name === undefined ? [] : [{ kind: 'env', name } as const]),
    ...(command === undefined ? [] : [{ kind: 'command', command } as const]),
  ];
  const own = sourcesOf(options['op-tok-path'], options['op-tok-env'], options['op-tok-command']);
  if (own.length + (options.authority === undefined && options.login !== true ? 0 : 1) > 1)
    throw new UsageError(
      '--authority (with or without --login), --op-tok-path, --op-tok-env and --op-tok-command cannot be combined',
    );
  if (own[0] !== undefined) return own[0];
  if (options.authority !== undefined || options.login === true) return null;
  return sourcesOf(profile.opTokPath, profile.opTokEnv, profile.opTokCommand)[0] ?? null;
}

/** `needsNoCredential` if the client may have neither secret nor key. */
function authorityClient(
  options: ClientOptionValues,
  profile: Partial<Profile>,
  needsNoCredential: boolean,
): AuthorityClient {
  const authority = options.authority ?? profile.authority;
  if (authority === undefined)
    throw new UsageError(
      '--authority (or --op-tok-path, --op-tok-env, --op-tok-command, --profile) is missing',
    );
  if (options['client-secret-path'] !== undefined && options['client-key'] !== undefined)
    throw new UsageError('--client-secret-path and --client-key cannot be combined');
  // Another way to authenticate replaces that of the profile.
  const credential =
    options['client-secret-path'] === undefined && options['client-key'] === undefined
      ? { secretPath: profile.clientSecretPath, keyPath: profile.clientKeyPath }
      : { secretPath: options['client-secret-path'], keyPath: options['client-key'] };
  const clientId = required(options['client-id'] ?? profile.clientId, 'client-id');
  if (credential.secretPath === undefined && credential.keyPath === undefined && !needsNoCredential)
    throw new UsageError('--client-secret-path, or --client-key, or --cert and --key, is missing');
  return {
    authority,
    clientId,
    authenticationMethod: parseMethod(options['client-auth']) ?? profile.clientAuth ?? null,
    secretPath: credential.secretPath ?? null,
    clientKeyPath: credential.keyPath ?? null,
    clientKeyId: options['client-key-id'] ?? profile.clientKeyId ?? null,
    assertionAudience: options['assertion-audience'] ?? profile.assertionAudience ?? null,
    scope: options['authority-scope'] ?? profile.authorityScope ?? 'registry.token.issue',
    resources: options.resource ?? profile.resources ?? [],
    audience: options.audience ?? profile.audience ?? null,
  };
}

function parseMethod(text: string | undefined): ClientAuthenticationMethod | null {
  if (text === undefined) return null;
  const found = clientAuthenticationMethods.find((method) => method === text);
  if (found !== undefined) return found;
  throw new UsageError(`--client-auth must be one of ${clientAuthenticationMethods.join(', ')}`);
}

function parseBind(text: string | undefined): Binding | null {
  if (text === undefined || text === 'dpop' || text === 'certificate') return text ?? null;
  throw new UsageError('--bind must be dpop or certificate');
}

/** What `login` and `logout` are for. Throws UsageError and ConfigurationFault. */
export function readLoginSettings(
  options: ClientOptionValues,
  env: CommandContext['env'],
): {
  readonly settings: ClientSettings;
  readonly source: LoginSource;
  /** Whether the profile says that its commands use the login; true if there is no profile. */
  readonly isInProfile: boolean;
} {
  const profile = readProfile(options, env);
  const settings = toClientSettings({ ...options, login: true }, profile, env);
  const { source } = settings;
  if (source.kind !== 'login') throw new UsageError('a login needs an Authority');
  return { settings, source, isInProfile: options.profile === undefined || profile.login === true };
}

/** Beside `clientOptions`. */
export const registryOptions = {
  registry: { type: 'string' },
  realm: { type: 'string' },
  service: { type: 'string' },
} as const;

/** From the options, else from the profile. */
export type RegistryTarget = { readonly [Name in keyof typeof registryOptions]: string | undefined };

/** Throws UsageError and ConfigurationFault. */
export function readClient(
  options: ClientOptionValues & Partial<RegistryTarget>,
  env: CommandContext['env'],
): { readonly settings: ClientSettings; readonly target: RegistryTarget } {
  const profile = readProfile(options, env);
  return {
    settings: toClientSettings(options, profile, env),
    target: {
      registry: options.registry ?? profile.registry,
      realm: options.realm ?? profile.realm,
      service: options.service ?? profile.service,
    },
  };
}

/**
 * A command that refreshes a login must not be cut off when its caller is stopped, such as a docker that is interrupted: the only refresh token
 * that is still good is in the answer. Signals are taken over, and the command ends by itself.
 */
export function finishRefreshes({ source }: ClientSettings, context: CommandContext): void {
  if (source.kind === 'login') void context.stopRequested;
}

/** Time, environment and warnings of this process; pauses end when `stop` is aborted. */
export function clientDependencies(
  { env, tell }: Pick<CommandContext, 'env' | 'tell'>,
  stop?: AbortSignal,
): ClientDependencies {
  return {
    env,
    clock: () => Date.now() / 1000,
    pause: async (milliseconds) => {
      await sleep(milliseconds, undefined, stop === undefined ? {} : { signal: stop }).catch(() => {});
      if (stop?.aborted === true) throw new ClientFault('interrupted');
    },
    ...(stop === undefined ? {} : { stop }),
    onNewKey: (path, { algorithm }) => tell(`Created the DPoP key ${path} (${algorithm}).\n`),
    warn: (warning) => tell(`Warning: ${escapeText(warning)}\n`),
  };
}

/** Ends a command with exit code 1 and the message of a ClientFault. */
export function failingByFaults(run: Command['run']): Command['run'] {
  return async (context) => {
    try {
      return await run(context);
    } catch (cause) {
      throw cause instanceof ClientFault ? new CommandFailure(cause.message) : cause;
    }
  };
}
