/** `token`: gets an OpTok, sends it to the realm, and prints or stores the registry token. */
import { registryHost, requestChallenge } from '../../client/challenge.ts';
import { openClient } from '../../client/client-settings.ts';
import { checkDockerConfig, storeRegistryToken } from '../../client/docker-config.ts';
import type { HttpOptions } from '../../client/http.ts';
import { type RegistryToken, requestRegistryToken } from '../../client/registry-token.ts';
import { shellWord } from '../../platform/quoting.ts';
import { type Command, type CommandContext, readOptions, required, UsageError } from '../command.ts';
import {
  clientDependencies,
  clientOptions,
  clientOptionsHelp,
  failingByFaults,
  type RegistryTarget,
  readClient,
  registryOptions,
} from './options.ts';

export const token: Command = {
  name: 'token',
  summary: 'gets a registry token, as a client of the service',
  help: `Usage: registry-token token --authority URL --client-id ID
                           (--client-secret-path FILE | --client-key FILE | --cert FILE --key FILE)
                           (--registry HOST | --realm URL --service NAME) [--scope SCOPE]... [options]
       registry-token token (--op-tok-path FILE | --op-tok-env NAME | --op-tok-command COMMAND)
                           (--registry HOST | --realm URL --service NAME) [--scope SCOPE]... [options]
       registry-token token --profile NAME [--scope SCOPE]... [options]

Gets an OpTok from the Authority by client_credentials, bound to a DPoP key or to the certificate, or takes one that exists
already; sends it to the realm, and prints the registry token.

${clientOptionsHelp}The registry:
  --registry HOST            the registry; it is asked for realm and service if these are not given
  --realm URL                the token service, as the registry's 401 names it
  --service NAME             the registry's service
  --scope SCOPE              what the token is for: repository:team/app:pull,push; may be repeated
Output formats; default: the token alone
  --json                     prints the whole response: token, expires_in, issued_at
  --env                      prints a line for the shell: export REGISTRY_TOKEN='...'
  --docker-config FILE       prints nothing and stores the token as registrytoken of --registry in docker's
                             config.json. It replaces no password there, and is never refreshed: it needs every
                             scope of the operation, and a lifetime as long. docker, crane and oras read it;
                             podman and skopeo do not (skopeo has --registry-token)

Exit codes: 0 printed or stored, 1 refused or not reachable, 2 usage, 78 a profile has mistakes.

Examples:
  registry-token token --authority https://authority.example.com --client-id builder \\
    --client-secret-path builder.secret --registry registry.example.com --scope repository:team/app:pull
  registry-token token --profile build --scope repository:team/app:pull,push \\
    --docker-config ~/.docker/config.json --registry registry.example.com
  eval "$(registry-token token --profile build --scope repository:team/app:pull --env)"
`,
  run: failingByFaults(run),
};

async function run({ args, env, print, tell, stopRequested }: CommandContext): Promise<number> {
  const options = readOptions(args, {
    ...clientOptions,
    ...registryOptions,
    scope: { type: 'string', multiple: true, default: [] },
    json: { type: 'boolean', default: false },
    env: { type: 'boolean', default: false },
    'docker-config': { type: 'string' },
  });
  const dockerConfig = options['docker-config'];
  if ([options.json, options.env, dockerConfig !== undefined].filter(Boolean).length > 1)
    throw new UsageError('--json, --env and --docker-config cannot be combined');
  const { settings, target } = readClient(options, env);
  if (target.registry === undefined) {
    if (target.realm === undefined)
      throw new UsageError('--realm is missing (or --registry, to ask the registry for it)');
    if (target.service === undefined)
      throw new UsageError('--service is missing (or --registry, to ask the registry for it)');
  }
  const store =
    dockerConfig === undefined
      ? null
      : { path: dockerConfig, host: registryHost(required(target.registry, 'registry')) };
  // Reported before a token is requested in vain.
  if (store !== null) checkDockerConfig(store.path, store.host);

  const stop = new AbortController();
  void stopRequested.then(() => stop.abort());
  const dependencies = clientDependencies({ env, tell }, stop.signal);
  const { parts, requestOpTok } = openClient(settings, 'ourselves', dependencies);
  const tokenService = await findRealm(target, parts.http);
  const opTok = await requestOpTok();
  const registryToken = await requestRegistryToken(
    opTok,
    { ...tokenService, isRealmNamed: target.realm !== undefined, scopes: options.scope },
    parts,
  );
  if (store !== null) {
    await storeRegistryToken(store.path, { host: store.host, token: registryToken.token }, parts.pause);
    tell(`Stored the registry token for ${store.host} in ${store.path}${lifetimeOf(registryToken)}.\n`);
  } else if (options.env) print(`export REGISTRY_TOKEN=${shellWord(registryToken.token)}\n`);
  else print(`${options.json ? JSON.stringify(registryToken.answer) : registryToken.token}\n`);
  return 0;
}

/** Asks the registry for what is not given. */
async function findRealm(
  { registry, realm, service }: RegistryTarget,
  http: HttpOptions,
): Promise<{ readonly realm: string; readonly service: string }> {
  if (realm !== undefined && service !== undefined) return { realm, service };
  const challenge = await requestChallenge(required(registry, 'registry'), http);
  return { realm: realm ?? challenge.realm, service: service ?? challenge.service };
}

function lifetimeOf({ answer }: RegistryToken): string {
  return typeof answer.expires_in === 'number' ? `, valid for ${answer.expires_in} s` : '';
}
