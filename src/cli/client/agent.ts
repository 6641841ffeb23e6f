/** `agent`: a registry endpoint on loopback for clients that can neither make proofs nor present certificates. */
import { type AgentOptions, createAgent } from '../../client/agent/agent.ts';
import { AgentRefusal } from '../../client/agent/check-request.ts';
import { type AgentAddress, type AgentTls, identityOf, listenForClients } from '../../client/agent/listen.ts';
import type { TransferListener } from '../../client/agent/transfers.ts';
import { ClientFault } from '../../client/client-fault.ts';
import { openClient } from '../../client/client-settings.ts';
import { loadCertificateAuthorities, loadClientCertificate } from '../../client/files.ts';
import { isLoopback, isSecureUrl } from '../../platform/loopback.ts';
import { createLog, type Log } from '../../telemetry/log.ts';
import {
  type Command,
  type CommandContext,
  listenOrFail,
  readOptions,
  required,
  UsageError,
} from '../command.ts';
import {
  clientDependencies,
  clientOptions,
  clientOptionsHelp,
  failingByFaults,
  readClient,
  registryOptions,
} from './options.ts';

/** Milliseconds that transfers under way have to finish at the end. */
const GRACE = 10_000;

export const agent: Command = {
  name: 'agent',
  summary: 'a registry endpoint on loopback, for clients without DPoP',
  help: `Usage: registry-token agent --registry URL --authority URL --client-id ID
                           (--client-secret-path FILE | --client-key FILE | --cert FILE --key FILE)
                           [--listen 127.0.0.1:5001] [options]
       registry-token agent --registry URL (--op-tok-path FILE | --op-tok-env NAME | --op-tok-command COMMAND) [options]
       registry-token agent --profile NAME [--listen 127.0.0.1:5001] [options]

Runs in the foreground until SIGINT or SIGTERM and forwards /v2/ of its address to the registry: a client that uses the
address pulls and pushes there without credentials. An image is named by the agent's address: 127.0.0.1:5001/team/app:1.
The agent answers the registry's 401 itself, with tokens that it gets as 'token' does and keeps in memory until shortly
before they expire. It stores nothing else, and sends a token to the registry only: if the registry redirects to a storage
backend, the client goes there itself.

Anyone who can connect to the address acts as this client, including other users of the machine. An address other than
loopback needs TLS and client certificates. An upload starts with a token that has half of its life left: if a proxy holds
uploads back until they are complete, signing.lifetime of the service must be longer than twice the longest one.

The agent:
  --registry URL             the registry: https://registry.example.com; http on loopback only
  --listen HOST:PORT         default 127.0.0.1:5001
  --tls-cert FILE, --tls-key FILE, --client-ca FILE
                             its certificate and key, and the authority of the client certificates, PEM
  --quiet                    no line for each transfer; only a terminal gets them
  --realm URL, --service NAME
                             the only token service, and the only service there, that the registry may name.
                             Default: any
${clientOptionsHelp}
Exit codes: 0 stopped, 1 the address or a file cannot be used, 2 usage, 78 a profile has mistakes.

Example:
  registry-token agent --registry https://registry.example.com --listen 127.0.0.1:5001 \\
    --authority https://authority.example.com --client-id builder --client-secret-path builder.secret
  skopeo copy --src-tls-verify=false docker://127.0.0.1:5001/team/app:1 oci:app
`,
  run: failingByFaults(run),
};

async function run({ args, env, tell, isTerminal, stopRequested }: CommandContext): Promise<number> {
  const options = readOptions(args, {
    ...clientOptions,
    ...registryOptions,
    listen: { type: 'string', default: '127.0.0.1:5001' },
    'tls-cert': { type: 'string' },
    'tls-key': { type: 'string' },
    'client-ca': { type: 'string' },
    quiet: { type: 'boolean', default: false },
  });
  const { settings, target } = readClient(options, env);
  const registry = parseRegistry(required(target.registry, 'registry'));
  const address = parseAddress(options.listen, {
    certificate: options['tls-cert'],
    key: options['tls-key'],
    clientAuthorities: options['client-ca'],
  });
  const log = createLog('info', isTerminal ? 'pretty' : 'json', tell);
  const stop = new AbortController();
  const { parts, requestOpTok } = openClient(settings, 'ourselves', {
    ...clientDependencies({ env, tell }, stop.signal),
    onNewKey: (path, { algorithm }) => log.info('created the DPoP key', { path, algorithm }),
    warn: (warning) => log.warn(warning),
  });
  const running = createAgent({
    registry,
    identity: identityOf(address),
    parts,
    requestOpTok,
    realm: target.realm ?? null,
    service: target.service ?? null,
    onTokenService: ({ realm, service }) => log.info('token service', { realm, service }),
    onRefusal: ({ method, path }, { status, code, message }) =>
      log.warn('not forwarded', { method, path, status, code, why: message }),
    onTransfer: isTerminal && !options.quiet ? transferReporter(log, parts.clock) : null,
  } satisfies AgentOptions);

  const listener = await listenOrFail(options.listen, 'choose another address with --listen', () =>
    listenForClients(address, running),
  );
  log.info('ready', { listen: options.listen, registry: registry.origin });
  void running.tryOut().catch((cause) => {
    if (!stop.signal.aborted) tellOfTrial(log, cause);
  });
  await stopRequested;
  log.info('stopping', { underWay: running.transfers.count, graceSeconds: GRACE / 1000 });
  await listener.stop(GRACE);
  stop.abort();
  log.info('stopped');
  return 0;
}

/** `pulled what=team/app/blobs/sha256:0123 size="52.4 MB" rate="12.1 MB/s" token="new, by DPoP"`. */
function transferReporter(log: Log, clock: () => number): TransferListener {
  return ({ method, path, bytes, startedAt, token, status }, isDone) => {
    // A refusal has its own line, and the target of a redirect does not pass through the agent.
    if (isDone && (status === null || status >= 300)) return;
    const verb = method === 'GET' ? ['pulling', 'pulled'] : ['pushing', 'pushed'];
    const seconds = Math.max(clock() - startedAt, 0.001);
    log.info(verb[isDone ? 1 : 0] ?? '', {
      what: path.replace('/v2/', ''),
      size: formatBytes(bytes),
      rate: `${formatBytes(bytes / seconds)}/s`,
      token: token ?? 'none',
    });
  };
}

function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB'];
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), units.length - 1);
  const value = bytes / 1000 ** power;
  return `${power === 0 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

/** The agent continues: the cause may be gone before a client comes. */
function tellOfTrial(log: Log, cause: unknown): void {
  const isKnown = cause instanceof ClientFault || cause instanceof AgentRefusal;
  log.warn('cannot get a token', { why: isKnown ? cause.message : 'unknown fault' });
}

/** A host without a scheme is https. */
function parseRegistry(text: string): URL {
  const url = URL.parse(/^[a-z][a-z\d+.-]*:\/\//i.test(text) ? text : `https://${text}`);
  if (url === null || !isSecureUrl(url)) throw new UsageError('--registry is neither https nor on loopback');
  if (!/^\/(?:v2\/?)?$/.test(url.pathname) || url.search !== '' || url.hash !== '')
    throw new UsageError('--registry must be a registry without a path: https://registry.example.com');
  return new URL(url.origin);
}

function parseAddress(
  text: string,
  paths: { readonly [Part in keyof AgentTls]: string | undefined },
): AgentAddress {
  const [, host = '', digits] = /^([\w.-]+|\[[\da-f:.]+\]):(\d{1,5})$/i.exec(text) ?? [];
  const port = Number(digits);
  if (!(port >= 1 && port <= 65535))
    throw new UsageError(`--listen is ${text}; expected host:port, such as 127.0.0.1:5001`);
  const tls = loadTls(paths);
  if (tls === null && !isLoopback(host))
    throw new UsageError(
      `--listen is ${text}: other machines could push and pull through it. Give --tls-cert, --tls-key and --client-ca to ` +
        'serve clients with a certificate of that authority, or listen on loopback',
    );
  return { host: host.replace(/[[\]]/g, ''), port, tls };
}

function loadTls({
  certificate,
  key,
  clientAuthorities,
}: {
  readonly [Part in keyof AgentTls]: string | undefined;
}): AgentTls | null {
  if (certificate === undefined && key === undefined && clientAuthorities === undefined) return null;
  if (certificate === undefined || key === undefined || clientAuthorities === undefined)
    throw new UsageError('--tls-cert, --tls-key and --client-ca must be given together');
  return {
    ...loadClientCertificate(certificate, key),
    clientAuthorities: loadCertificateAuthorities(clientAuthorities),
  };
}
