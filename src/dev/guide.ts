/** What `dev` prints: what runs where, and the commands to copy. They work from any directory, in any POSIX shell. */
import { join } from 'node:path';
import { shellWord, shellWords } from '../platform/quoting.ts';
import { type DevAddresses, realmsOf } from './configurations.ts';
import { devFiles } from './folder.ts';

export interface GuideOptions {
  readonly addresses: DevAddresses;
  /** Absolute. */
  readonly folder: string;
  readonly kept: boolean;
  /** The command line that starts this program. */
  readonly self: readonly string[];
  readonly clientId: string;
  /** The registry's `service`. */
  readonly service: string;
  /** The name of the registry's program; null if it is not installed. */
  readonly registryProgram: string | null;
  /** Whether something listens on the registry's address already. */
  readonly registryTaken: boolean;
}

const REPOSITORY = 'stella-ops/hello';

/**
 * The whole text. Each step begins with a line of `# ` and a number, a comment to the shell, so that a step can be pasted
 * whole.
 */
export function renderGuide(options: GuideOptions): string {
  const { addresses, folder, kept, clientId, registryProgram, registryTaken } = options;
  const rows = [
    [
      'service',
      `http://${addresses.service.text}`,
      `by ${devFiles.configuration}; edits take effect at once`,
    ],
    ['Authority', `http://${addresses.authority.text}`, `for development only; its client is "${clientId}"`],
    [
      'registry',
      addresses.registry.text,
      registryTaken
        ? 'the address is in use: stop that program, or choose another --registry'
        : 'not running yet: step 1 starts it',
    ],
    ['files', folder, kept ? 'kept' : 'removed at the end; --dir DIR keeps them'],
  ] as const;
  const width = Math.max(...rows.map(([, place]) => place.length));
  const table = rows.map(([name, place, note]) => `  ${name.padEnd(9)}  ${place.padEnd(width)}  ${note}`);
  const hint = registryProgram === null ? '; Debian has it as docker-registry' : '';
  const configuration = shellWord(join(folder, devFiles.registryConfiguration));
  return `registry-token dev: a try-out on loopback, for development only. Ctrl-C ends it.

${table.join('\n')}

Ready. Paste these into other terminals; each request is logged below.

# 1. Start a registry that trusts this service, in a terminal of its own${hint}
${registryProgram ?? 'docker-registry'} serve ${configuration}

# 2. Get a token to pull and push, with this program
${tokenByProgram(options)}

# 3. The same with curl; this program makes the proofs
${tokenByCurl(options)}

# 4. Push an image with the token, and pull it
${copies(options)}

`;
}

function tokenByProgram({ addresses, folder, self, clientId, service }: GuideOptions): string {
  return `TOKEN=$(${shellWords(self)} token \\
  --authority http://${shellWord(addresses.authority.text)} \\
  --client-id ${clientId} --client-secret-path ${shellWord(join(folder, devFiles.secret))} \\
  --realm ${shellWord(realmsOf(addresses)[1])} --service ${shellWord(service)} \\
  --scope repository:${REPOSITORY}:pull,push)`;
}

/** An OpTok from the Authority, then a token from the service, each with its own proof. No jq is needed. */
function tokenByCurl({ addresses, folder, self, clientId, service }: GuideOptions): string {
  const authority = shellWord(`http://${addresses.authority.text}/token`);
  const realm = shellWord(realmsOf(addresses)[1]);
  const proof = `${shellWords(self)} dpop-proof \\
  --key ${shellWord(join(folder, devFiles.clientKey))}`;
  const member = (name: string) => `sed -n 's/.*"${name}":"\\([^"]*\\)".*/\\1/p'`;
  return `PROOF=$(${proof} --method POST --url ${authority})
OPTOK=$(curl -fsS ${authority} -H "DPoP: $PROOF" \\
  -d grant_type=client_credentials -d client_id=${clientId} \\
  --data-urlencode ${shellWord(`client_secret@${join(folder, devFiles.secret)}`)} \\
  | ${member('access_token')})
PROOF=$(${proof} --method GET --url ${realm} --access-token "$OPTOK")
TOKEN=$(curl -fsSG ${realm} -H "Authorization: DPoP $OPTOK" -H "DPoP: $PROOF" \\
  --data-urlencode ${shellWord(`service=${service}`)} \\
  --data-urlencode scope=repository:${REPOSITORY}:pull,push \\
  | ${member('token')})`;
}

function copies({ addresses, folder }: GuideOptions): string {
  const remote = shellWord(`docker://${addresses.registry.text}/${REPOSITORY}:latest`);
  const local = (name: string) => shellWord(`oci:${join(folder, name)}:latest`);
  return `skopeo --insecure-policy copy --dest-tls-verify=false --dest-registry-token "$TOKEN" \\
  ${local(devFiles.image)} \\
  ${remote}
skopeo --insecure-policy copy --src-tls-verify=false --src-registry-token "$TOKEN" \\
  ${remote} \\
  ${local(devFiles.pulledImage)}`;
}
