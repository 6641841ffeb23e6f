/** The options that the client's commands share, how they combine with a profile, and how faults end a command. */
import {
  type ClientAuthenticationMethod,
  clientAuthenticationMethods,
} from '../../client/client-authentication.ts';
import { ClientFault } from '../../client/client-fault.ts';
import type { ClientSettings, ClientSurroundings } from '../../client/client-settings.ts';
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
  'dpop-key': { type: 'string' },
  ca: { type: 'string' },
} as const;

/** For the help of a command that takes them. */
export const clientOptionsHelp = `The profile:
  --profile NAME             takes what is not given here from this profile
  --profiles FILE            the file with the profiles: $XDG_CONFIG_HOME/registry-token/client.yaml (where that
                             variable is not set, ~/.config/...), else /etc/registry-token/client.yaml
The Authority:
  --authority URL            its issuer, exactly as its access tokens name it
  --client-id ID             the client
  --client-secret-path FILE  its secret; in the form (client_secret_post) where the Authority takes it only there
  --client-key FILE          its key, PEM or JWK (private_key_jwt, RFC 7523)
  --client-key-id ID         the kid that the Authority knows the key by: that of the JWK where not given
  --assertion-audience URL   whom the assertions are for: the issuer where not given; some want the token endpoint
  --cert FILE, --key FILE    its certificate and key, PEM (tls_client_auth); shown to the realm too
  --client-auth METHOD       how the client shows who it is, where the above leaves a choice: client_secret_basic,
                             client_secret_post, private_key_jwt, tls_client_auth, self_signed_tls_client_auth
  --authority-scope SCOPE    the scope of the OpTok: registry.token.issue where not given
  --audience NAME            the audience of the OpTok, for Authorities that are told it like this
  --resource URI             the same by RFC 8707; may be repeated
  --dpop-key FILE            the key to bind the OpTok to, PEM or JWK; made where the file does not exist.
                             Without it: the certificate, where the Authority binds to certificates, else a key
                             that is made for this one run
  --ca FILE                  the certificate authorities to trust in place of the system's, PEM
`;

/** The values of `clientOptions`. */
export type ClientOptionValues = {
  readonly [Name in Exclude<keyof typeof clientOptions, 'resource'>]?: string | undefined;
} & { readonly resource?: readonly string[] | undefined };

/** The profile that is named; an empty one where none is. Throws ConfigurationFault. */
export function readProfile(
  { profile: name, profiles: path }: ClientOptionValues,
  env: Readonly<Record<string, string | undefined>>,
): Partial<Profile> {
  if (name === undefined) {
    if (path !== undefined)
      throw new UsageError('--profiles is given, and --profile, which names one, is not');
    return {};
  }
  const { file } = findProfilesFile(path, env);
  return chooseProfile(loadProfiles(file), name, file).profile;
}

/** Throws UsageError where something is missing or contradicts another. */
export function toClientSettings(options: ClientOptionValues, profile: Partial<Profile>): ClientSettings {
  const authority = required(options.authority ?? profile.authority, 'authority');
  const clientId = required(options['client-id'] ?? profile.clientId, 'client-id');
  if ((options.cert === undefined) !== (options.key === undefined))
    throw new UsageError('--cert and --key come together');
  if (options['client-secret-path'] !== undefined && options['client-key'] !== undefined)
    throw new UsageError('--client-secret-path and --client-key exclude each other');
  // Another way to show who the client is replaces that of the profile.
  const credential =
    options['client-secret-path'] === undefined && options['client-key'] === undefined
      ? { secretPath: profile.clientSecretPath, keyPath: profile.clientKeyPath }
      : { secretPath: options['client-secret-path'], keyPath: options['client-key'] };
  const certPath = options.cert ?? profile.certPath;
  const keyPath = options.key ?? profile.keyPath;
  if (credential.secretPath === undefined && credential.keyPath === undefined && certPath === undefined)
    throw new UsageError('--client-secret-path, or --client-key, or --cert and --key, is missing');
  return {
    authority,
    clientId,
    authenticationMethod: parseMethod(options['client-auth']) ?? profile.clientAuth ?? null,
    secretPath: credential.secretPath ?? null,
    clientKeyPath: credential.keyPath ?? null,
    clientKeyId: options['client-key-id'] ?? profile.clientKeyId ?? null,
    assertionAudience: options['assertion-audience'] ?? profile.assertionAudience ?? null,
    certificate: certPath === undefined || keyPath === undefined ? null : { certPath, keyPath },
    caPath: options.ca ?? profile.caPath ?? null,
    dpopKeyPath: options['dpop-key'] ?? profile.dpopKeyPath ?? null,
    scope: options['authority-scope'] ?? profile.authorityScope ?? 'registry.token.issue',
    resources: options.resource ?? profile.resources ?? [],
    audience: options.audience ?? profile.audience ?? null,
  };
}

function parseMethod(text: string | undefined): ClientAuthenticationMethod | null {
  if (text === undefined) return null;
  const found = clientAuthenticationMethods.find((method) => method === text);
  if (found !== undefined) return found;
  throw new UsageError(`--client-auth is one of ${clientAuthenticationMethods.join(', ')}`);
}

/** Beside `clientOptions`. */
export const registryOptions = {
  registry: { type: 'string' },
  realm: { type: 'string' },
  service: { type: 'string' },
} as const;

/** As given, else as the profile has it. */
export type RegistryPlace = { readonly [Name in keyof typeof registryOptions]: string | undefined };

/** Throws UsageError and ConfigurationFault. */
export function readClient(
  options: ClientOptionValues & Partial<RegistryPlace>,
  env: CommandContext['env'],
): { readonly settings: ClientSettings; readonly place: RegistryPlace } {
  const profile = readProfile(options, env);
  return {
    settings: toClientSettings(options, profile),
    place: {
      registry: options.registry ?? profile.registry,
      realm: options.realm ?? profile.realm,
      service: options.service ?? profile.service,
    },
  };
}

/** The time and the pauses of this machine, which end when `stop` is aborted; of keys that are made nobody is told. */
export function wallClockSurroundings(stop?: AbortSignal): ClientSurroundings {
  return {
    clock: () => Date.now() / 1000,
    pause: async (milliseconds) => {
      await Bun.sleep(milliseconds);
      if (stop?.aborted === true) throw new ClientFault('interrupted; nothing was written');
    },
    ...(stop === undefined ? {} : { stop }),
    onNewKey: () => {},
  };
}

/** A command whose ClientFaults are failures, in their own words. */
export function failingByFaults(run: Command['run']): Command['run'] {
  return async (context) => {
    try {
      return await run(context);
    } catch (cause) {
      throw cause instanceof ClientFault ? new CommandFailure(cause.message) : cause;
    }
  };
}
