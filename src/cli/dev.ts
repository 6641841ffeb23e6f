/** `dev`: everything for a try-out on loopback, without preparation. */
import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { watchFiles } from '../assemble/files.ts';
import { Runtime } from '../assemble/runtime.ts';
import { configurationLoader } from '../config/load.ts';
import { createDevAuthority, type DevAuthorityAnswer } from '../dev/authority.ts';
import {
  type DevAddresses,
  realmsOf,
  renderRegistryConfiguration,
  renderServiceConfiguration,
} from '../dev/configurations.ts';
import {
  type DevFolder,
  devFiles,
  FolderFault,
  keepFile,
  openDevFolder,
  writeDevFile,
} from '../dev/folder.ts';
import { renderGuide } from '../dev/guide.ts';
import { writeSampleImage } from '../dev/image.ts';
import { isTaken, type LoopbackAddress, listenOnLoopback, parseLoopbackAddress } from '../dev/loopback.ts';
import { parsePrivateKey } from '../platform/pem.ts';
import { waitAtMost } from '../platform/wait.ts';
import { listen } from '../server/listen.ts';
import { createLog, type Log } from '../telemetry/log.ts';
import {
  type Command,
  type CommandContext,
  CommandFailure,
  listenOrFail,
  readOptions,
  UsageError,
} from './command.ts';
import { keygen } from './keygen.ts';

const CLIENT_ID = 'dev';
/** The registry's service if the configuration allows any. */
const DEFAULT_SERVICE = 'registry.localhost';
/** Milliseconds that requests under way have to finish at the end. */
const GRACE = 1000;

export const dev: Command = {
  name: 'dev',
  summary: 'runs everything for a try-out on loopback, and prints the commands to copy',
  help: `Usage: registry-token dev [--dir DIR] [--listen 127.0.0.1:8085]
                          [--authority-listen 127.0.0.1:8086] [--registry 127.0.0.1:5000]

Runs the service and a development Authority on loopback, with fresh keys, a configuration for each and one for
docker-registry, and prints the commands that get a token and push and pull an image with it. It runs until Ctrl-C, and
leaves nothing running. Edits of DIR/registry-token.yaml take effect at once. For development only: anyone who can
read the folder can get tokens.

  --dir DIR                     keeps the files in DIR, and uses its keys again the next time; by default they are
                                in a temporary folder and removed at the end
  --listen HOST:PORT            the address of the service
  --authority-listen HOST:PORT  the address of the development Authority
  --registry HOST:PORT          the address that the registry will listen on

Each address is on loopback: 127.0.0.1, [::1] or localhost. REGISTRY_TOKEN_* variables are ignored.

Exit codes: 0 stopped, 1 an address or the folder cannot be used, 2 usage, 78 the configuration has mistakes.

Example:
  registry-token dev --dir ~/registry-token-dev
`,
  run: async (context) => {
    const options = readOptions(context.args, {
      dir: { type: 'string' },
      listen: { type: 'string', default: '127.0.0.1:8085' },
      'authority-listen': { type: 'string', default: '127.0.0.1:8086' },
      registry: { type: 'string', default: '127.0.0.1:5000' },
    });
    const addresses = {
      service: parseAddress('listen', options.listen),
      authority: parseAddress('authority-listen', options['authority-listen']),
      registry: parseAddress('registry', options.registry),
    };
    const stopped = new Promise<void>((resolve) => {
      void context.stopRequested.then(resolve);
      // SIGHUP means that the terminal was closed; reloading needs no signal here.
      context.onReloadRequested(resolve);
    });
    try {
      const kept = await runUntil(stopped, options.dir, addresses, context);
      context.tell(kept === null ? '\nStopped. All files were removed.\n' : `\nStopped. ${kept} is kept.\n`);
      return 0;
    } catch (cause) {
      if (cause instanceof FolderFault) throw new CommandFailure(cause.message);
      throw cause;
    }
  },
};

/** Returns the folder that is kept, or null, when everything is stopped and removed. */
async function runUntil(
  stopped: Promise<void>,
  directory: string | undefined,
  addresses: DevAddresses,
  context: CommandContext,
): Promise<string | null> {
  await using ending = new AsyncDisposableStack();
  const folder = openDevFolder(directory, tmpdir());
  ending.defer(folder.close);
  const guide = await start(folder, addresses, context, ending);
  // Proofs are dated in whole seconds, and the service refuses those from before its start. The guide is printed in the
  // next second, so that pasted commands are not refused.
  await waitAtMost(1000 - (Date.now() % 1000), stopped);
  context.print(guide);
  await stopped;
  return folder.kept ? folder.path : null;
}

/** Starts everything, registers in `ending` what must be undone, and returns the guide. */
async function start(
  folder: DevFolder,
  addresses: DevAddresses,
  context: CommandContext,
  ending: AsyncDisposableStack,
): Promise<string> {
  const { load, authorityKey, secret } = await prepareFiles(folder, addresses, context);
  const { logging, registry } = load().configuration;
  const format = logging.format === 'auto' ? (context.isTerminal ? 'pretty' : 'json') : logging.format;
  const log = createLog(logging.level, format, context.tell);
  const clock = () => Date.now() / 1000;
  const runtime = await Runtime.create(load, { clock, log, processUsage: context.processUsage });
  const authority = await createDevAuthority({
    issuer: `http://${addresses.authority.text}`,
    privateKey: authorityKey,
    client: { id: CLIENT_ID, secret },
    clock,
    record: (answer) => logAnswer(log, answer),
  });

  const authorityListener = await listenOrFail(
    addresses.authority.text,
    'choose another address with --authority-listen',
    () => listenOnLoopback(addresses.authority, authority),
  );
  ending.defer(authorityListener.stop);
  const serviceListener = await listenOrFail(
    addresses.service.text,
    'choose another address with --listen',
    () => listen({ ...addresses.service, handle: runtime.handle }),
  );
  ending.defer(() => serviceListener.stop(GRACE));
  await runtime.open();
  ending.defer(() => runtime.close());
  ending.defer(
    watchFiles(
      () => runtime.files,
      () => void runtime.reloadAndLog(),
    ),
  );
  return renderGuide({
    addresses,
    folder: folder.path,
    kept: folder.kept,
    self: context.self,
    clientId: CLIENT_ID,
    service: registry.allowedServices?.[0] ?? DEFAULT_SERVICE,
    registryProgram: ['docker-registry', 'registry'].find((name) => isInstalled(name, context)) ?? null,
    registryTaken: isTaken(addresses.registry),
  });
}

interface Prepared {
  readonly load: ReturnType<typeof configurationLoader>;
  readonly authorityKey: KeyObject;
  readonly secret: string;
}

/** Creates what the folder lacks. The registry's configuration is written each time, because it follows ours. */
async function prepareFiles(
  folder: DevFolder,
  addresses: DevAddresses,
  context: CommandContext,
): Promise<Prepared> {
  const at = (name: string) => join(folder.path, name);
  const authorityKey = parsePrivateKey(keepFile(folder, devFiles.authorityKey, generateKey));
  const secret = keepFile(folder, devFiles.secret, () => randomBytes(24).toString('base64url'));
  if (!existsSync(at('registry-signing.pem')))
    await keygen.run({ ...context, args: ['--out', folder.path], print: () => {} });
  keepFile(folder, devFiles.configuration, () => renderServiceConfiguration(addresses));
  const overrides = {
    REGISTRY_TOKEN_SERVER__LISTEN: addresses.service.text,
    REGISTRY_TOKEN_AUTHORITY__ISSUER: `http://${addresses.authority.text}`,
    REGISTRY_TOKEN_REGISTRY__REALM: JSON.stringify(realmsOf(addresses)),
  };
  const load = configurationLoader(at(devFiles.configuration), overrides);
  const { signing, registry } = load().configuration;
  writeDevFile(
    folder,
    devFiles.registryConfiguration,
    renderRegistryConfiguration(addresses, {
      issuer: signing.issuer,
      service: registry.allowedServices?.[0] ?? DEFAULT_SERVICE,
      certificate: at('registry-signing.crt'),
      storage: at(devFiles.registryStorage),
    }),
  );
  writeSampleImage(at(devFiles.image));
  return { load, authorityKey, secret };
}

function generateKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function parseAddress(option: string, text: string): LoopbackAddress {
  const address = parseLoopbackAddress(text);
  if (address === null)
    throw new UsageError(
      `--${option} is ${text}; dev listens on loopback only: 127.0.0.1, [::1] or localhost, and a port`,
    );
  return address;
}

function isInstalled(program: string, { env }: CommandContext): boolean {
  return Bun.which(program, { PATH: env.PATH ?? '' }) !== null;
}

function logAnswer(log: Log, answer: DevAuthorityAnswer): void {
  if ('thumbprint' in answer)
    log.info('access token issued by the development Authority', { boundTo: answer.thumbprint });
  else
    log.info('access token refused by the development Authority', {
      error: answer.error,
      detail: answer.description,
    });
}
