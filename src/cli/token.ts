/** `token`: gets an OpTok from the Authority, brings it to the realm, and prints the registry token. */
import { discoverAuthority } from '../client/authority.ts';
import { loadCertificateAuthorities, loadClientCertificate } from '../client/client-certificate.ts';
import { ClientFault } from '../client/client-fault.ts';
import { type DpopKey, generateDpopKey, openDpopKey } from '../client/dpop-key.ts';
import type { ClientParts, HttpOptions } from '../client/http.ts';
import { type ClientAuthentication, requestOpTok } from '../client/op-tok.ts';
import { readSecretFile } from '../client/read-file.ts';
import { requestRegistryToken } from '../client/registry-token.ts';
import {
  type Command,
  type CommandContext,
  CommandFailure,
  readOptions,
  required,
  UsageError,
} from './command.ts';

export const token: Command = {
  name: 'token',
  summary: 'gets a registry token, as a client of the service',
  help: `Usage: registry-token token --authority URL --client-id ID (--client-secret-path FILE | --cert FILE --key FILE)
                           --realm URL --service NAME [--scope SCOPE]... [options]

Gets an OpTok from the Authority by client_credentials, bound to a DPoP key or to the certificate, brings it to the
realm, and prints the registry token.

The Authority:
  --authority URL            its issuer, exactly as its access tokens name it
  --client-id ID             the client
  --client-secret-path FILE  its secret (client_secret_basic)
  --cert FILE, --key FILE    its certificate and key, PEM (tls_client_auth); shown to the realm too
  --authority-scope SCOPE    the scope of the OpTok: registry.token.issue where not given
  --audience NAME            the audience of the OpTok, for Authorities that are told it like this
  --resource URI             the same by RFC 8707; may be repeated
The registry:
  --realm URL                the token service, as the registry's 401 names it
  --service NAME             the registry's service
  --scope SCOPE              what the token is for: repository:team/app:pull,push; may be repeated
The connection:
  --dpop-key FILE            the key to bind the OpTok to, PEM or JWK; made where the file does not exist.
                             Without it: the certificate, where the Authority binds to certificates, else a key
                             that is made for this one token
  --ca FILE                  the certificate authorities to trust in place of the system's, PEM
The answer:
  --json                     prints the whole answer: token, expires_in, issued_at

Exit codes: 0 printed, 1 refused or not reachable, 2 usage.

Example:
  registry-token token --authority https://authority.example.com --client-id builder \\
    --client-secret-path builder.secret --realm https://registry.example.com/token \\
    --service registry.example.com --scope repository:team/app:pull
`,
  run: async (context) => {
    try {
      return await run(context);
    } catch (cause) {
      throw cause instanceof ClientFault ? new CommandFailure(cause.message) : cause;
    }
  },
};

async function run({ args, print, tell }: CommandContext): Promise<number> {
  const options = readOptions(args, {
    authority: { type: 'string' },
    'client-id': { type: 'string' },
    'client-secret-path': { type: 'string' },
    cert: { type: 'string' },
    key: { type: 'string' },
    'authority-scope': { type: 'string', default: 'registry.token.issue' },
    audience: { type: 'string' },
    resource: { type: 'string', multiple: true, default: [] },
    realm: { type: 'string' },
    service: { type: 'string' },
    scope: { type: 'string', multiple: true, default: [] },
    'dpop-key': { type: 'string' },
    ca: { type: 'string' },
    json: { type: 'boolean', default: false },
  });
  const issuer = required(options.authority, 'authority');
  const clientId = required(options['client-id'], 'client-id');
  const realm = required(options.realm, 'realm');
  const service = required(options.service, 'service');
  if ((options.cert === undefined) !== (options.key === undefined))
    throw new UsageError('--cert and --key come together');
  const secretPath = options['client-secret-path'];
  if (secretPath === undefined && options.cert === undefined)
    throw new UsageError('--client-secret-path, or --cert and --key, is missing');

  const http: HttpOptions = {
    certificateAuthorities: options.ca === undefined ? null : loadCertificateAuthorities(options.ca),
    clientCertificate:
      options.cert === undefined || options.key === undefined
        ? null
        : loadClientCertificate(options.cert, options.key),
  };
  const client: ClientAuthentication =
    secretPath === undefined
      ? { method: 'tls_client_auth', clientId }
      : {
          method: 'client_secret_basic',
          clientId,
          secret: readSecretFile(secretPath, 'the client secret'),
        };
  const parts: ClientParts = { http, clock: () => Date.now() / 1000, pause: Bun.sleep };

  const authority = await discoverAuthority(issuer, http);
  const bindsByCertificate = http.clientCertificate !== null && authority.bindsToCertificates;
  const dpopKey = await chooseDpopKey(options['dpop-key'], bindsByCertificate, tell);
  const opTok = await requestOpTok(
    authority,
    {
      client,
      scope: options['authority-scope'],
      resources: options.resource,
      audience: options.audience ?? null,
      dpopKey,
    },
    parts,
  );
  const registryToken = await requestRegistryToken(opTok, { realm, service, scopes: options.scope }, parts);
  print(`${options.json ? JSON.stringify(registryToken.answer) : registryToken.token}\n`);
  return 0;
}

async function chooseDpopKey(
  path: string | undefined,
  bindsByCertificate: boolean,
  tell: (text: string) => void,
): Promise<DpopKey | null> {
  if (path === undefined) return bindsByCertificate ? null : generateDpopKey();
  const { key, isNew } = await openDpopKey(path);
  if (isNew) tell(`Made the DPoP key ${path} (${key.algorithm}).\n`);
  return key;
}
