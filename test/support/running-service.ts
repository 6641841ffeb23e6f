/** The compiled binary: commands of it, and `serve` with a configuration of the test's own. */
import { writeFile } from 'node:fs/promises';
import { stringify } from 'yaml';
import { AUTHORITY_AUDIENCE } from './authority.ts';
import {
  type Child,
  type ChildOptions,
  createTemporaryFolder,
  type Finished,
  findFreePort,
  run,
  start,
} from './processes.ts';

/** What `bun run build` leaves. */
export const BINARY = new URL('../../dist/registry-token', import.meta.url).pathname;

/** With CI=true the executable, which `bun run test` has built just before; else the sources as they are now. */
export const serviceCommand =
  process.env.CI === 'true'
    ? [BINARY]
    : [process.execPath, 'run', new URL('../../src/main.ts', import.meta.url).pathname];

export const REGISTRY_SERVICE = 'registry.e2e.example';
export const TOKEN_ISSUER = 'registry-token.e2e.example';

/** Runs a command of the binary to its end. */
export function runBinary(
  args: readonly string[],
  options: ChildOptions & { readonly input?: string } = {},
): Promise<Finished> {
  return run([BINARY, ...args], options);
}

export type Section = Readonly<Record<string, unknown>>;

export interface ServiceOptions {
  /** Where the Authority is. */
  readonly authorityIssuer: string;
  /** `signing` of the configuration, beside its issuer. */
  readonly signing: Section;
  /** Whole sections in place of the usual ones. */
  readonly sections?: Section;
}

export interface RunningService extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** `http://127.0.0.1:PORT/token`; `http://localhost:PORT/token` is a realm as well. */
  readonly realm: string;
  readonly configurationPath: string;
  readonly child: Child;
}

/** Starts `serve` on a free port and waits until it is ready and takes proofs. */
export async function startService(options: ServiceOptions): Promise<RunningService> {
  const folder = await createTemporaryFolder();
  const port = await findFreePort();
  const url = `http://127.0.0.1:${port}`;
  const configurationPath = folder.at('registry-token.yaml');
  await writeFile(configurationPath, stringify(serviceConfiguration(options, port)));
  const child = start([BINARY, 'serve', '--config', configurationPath]);
  const dispose = async () => {
    await child.stop();
    await folder[Symbol.asyncDispose]();
  };
  try {
    await child.waitForStatus(`${url}/readyz`, 200);
  } catch (cause) {
    await dispose();
    throw cause;
  }
  await nextSecond();
  const realm = `${url}/token`;
  return { url, port, realm, configurationPath, child, [Symbol.asyncDispose]: dispose };
}

/** The configuration of the tests, with two plans. */
export function serviceConfiguration(
  { authorityIssuer, signing, sections }: ServiceOptions,
  port: number,
): Section {
  return {
    server: { listen: `127.0.0.1:${port}`, shutdownGrace: '2s' },
    // For so long after the start, proofs need a nonce.
    authority: { issuer: authorityIssuer, audiences: [AUTHORITY_AUDIENCE], clockSkew: 0 },
    signing: { issuer: TOKEN_ISSUER, ...signing },
    registry: {
      realm: [`http://127.0.0.1:${port}/token`, `http://localhost:${port}/token`],
      allowedServices: [REGISTRY_SERVICE],
    },
    plans: {
      community: { repositories: [{ pattern: 'public/*' }] },
      enterprise: {
        catalog: true,
        repositories: [
          { pattern: 'team-*/**', actions: ['pull', 'push'] },
          { pattern: 'customers/{claim:tid}/*', actions: ['pull', 'push', 'delete'] },
        ],
      },
    },
    defaultPlan: 'community',
    logging: { level: 'info', format: 'json' },
    ...sections,
  };
}

/**
 * Waits for the next second: after a start, proofs dated before it are refused, and a proof is dated in whole
 * seconds.
 */
export async function nextSecond(): Promise<void> {
  await Bun.sleep(1010 - (Date.now() % 1000));
}
