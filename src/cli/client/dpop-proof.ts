/** `dpop-proof`: prints one proof, for curl and for scripts. */
import { ClientFault } from '../../client/client-fault.ts';
import { makeDpopProof, openDpopKey, proofTarget } from '../../client/dpop.ts';
import { parseSecret, readSecretFile } from '../../client/files.ts';
import { isAccessToken } from '../../client/op-tok.ts';
import { escapeText } from '../../platform/escape.ts';
import { type Command, CommandFailure, readOptions, required, UsageError } from '../command.ts';

export const dpopProof: Command = {
  name: 'dpop-proof',
  summary: 'prints one DPoP proof for a request',
  help: `Usage: registry-token dpop-proof --url URL --key FILE [--access-token OPTOK] [--method GET] [--nonce N]

Prints one DPoP proof (RFC 9449): valid for one request, for about a minute.

  --url URL                  the URL of the request; its query is not part of the proof
  --key FILE                 the private key, PEM or JWK: P-256, Ed25519 or RSA. If the file does not exist, it is
                             created (P-256, 0600), as a JWK if its name ends in .jwk or .json
  --access-token OPTOK       the access token that is sent with the proof; - reads it from standard input. Other
                             users of this machine can read arguments in the list of processes
  --access-token-path FILE   the same, from a file
                             Neither: a proof for the Authority's token endpoint, where there is no token yet
  --method GET               the method of the request; default GET
  --nonce N                  the value of the server's DPoP-Nonce

Exit codes: 0 printed, 1 the key or the token cannot be used, 2 usage.

Example:
  realm=https://registry.example.com/token
  curl -H "Authorization: DPoP $OPTOK" \\
    -H "DPoP: $(echo "$OPTOK" | registry-token dpop-proof --url $realm --key dpop.pem --access-token -)" \\
    "$realm?service=registry.example.com&scope=repository:team/app:pull"
`,
  run: async ({ args, readInput, print, tell }) => {
    const options = readOptions(args, {
      method: { type: 'string', default: 'GET' },
      url: { type: 'string' },
      key: { type: 'string' },
      'access-token': { type: 'string' },
      'access-token-path': { type: 'string' },
      nonce: { type: 'string' },
    });
    const url = required(options.url, 'url');
    const keyPath = required(options.key, 'key');
    const { method } = options;
    // RFC 9110 §9.1: methods are case-sensitive, and all that are in use are upper case.
    if (!/^[A-Z-]+$/.test(method))
      throw new UsageError('--method must be an HTTP method in upper case, such as GET or POST');
    if (options.nonce === '') throw new UsageError('--nonce must not be empty');
    const accessTokenOption = options['access-token'];
    const accessTokenPath = options['access-token-path'];
    if (accessTokenOption !== undefined && accessTokenPath !== undefined)
      throw new UsageError('--access-token and --access-token-path cannot be combined');
    try {
      proofTarget(url); // before a key is made for nothing
      const accessToken = await readAccessToken(accessTokenOption, accessTokenPath, readInput);
      const { key, isNew } = await openDpopKey(keyPath, {
        warn: (warning) => tell(`Warning: ${escapeText(warning)}\n`),
      });
      const proof = await makeDpopProof(
        key,
        { method, url, accessToken, nonce: options.nonce ?? null },
        Date.now() / 1000,
      );
      if (isNew)
        tell(
          `Created the key ${keyPath} (${key.algorithm}). Access tokens must be bound to it: cnf.jkt ${key.thumbprint}\n`,
        );
      print(`${proof}\n`);
      return 0;
    } catch (cause) {
      throw cause instanceof ClientFault ? new CommandFailure(cause.message) : cause;
    }
  },
};

async function readAccessToken(
  option: string | undefined,
  path: string | undefined,
  readInput: () => Promise<string>,
): Promise<string | null> {
  const what = 'the access token';
  let token: string;
  if (path !== undefined) token = readSecretFile(path, what);
  else if (option === '-') token = parseSecret(await readInput(), what, 'standard input');
  else if (option !== undefined) token = option;
  else return null;
  if (!isAccessToken(token))
    throw new ClientFault(
      `${what} is empty or has characters that no access token has; was it cut or quoted?`,
    );
  return token;
}
