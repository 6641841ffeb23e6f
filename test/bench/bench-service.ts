/** The compiled binary as the bench runs it: a process of its own, its log in a file, its figures from Linux. */
import { readFile, writeFile } from 'node:fs/promises';
import { createKey } from '../support/keys.ts';
import { findFreePort, searchPath, type TemporaryFolder, withParent } from '../support/processes.ts';
import { startRedis } from '../support/redis.ts';
import { BINARY, nextSecond, type Section } from '../support/running-service.ts';
import { createSelfSigned, type TlsIdentity } from '../support/tls-identities.ts';
import type { Cell } from './cells.ts';
import type { LoadTarget } from './load.ts';
import { createParties, jwksOf } from './requests.ts';

export interface BenchService extends AsyncDisposable {
  readonly pid: number;
  /** Resolves at its end, whoever ended it: the exit code. */
  readonly ended: Promise<number>;
  readonly target: LoadTarget;
  /** How many tokens it has issued. */
  readonly countIssued: () => Promise<number>;
  /** Waits until it issues tokens to somebody. */
  readonly untilBusy: (signal: AbortSignal) => Promise<void>;
}

const SERVICE = 'registry.bench.example';
const AUDIENCE = 'registry';
/** Its keys come from a file; nobody is asked. */
const ISSUER = 'https://authority.bench.example';
/** Proofs are prepared beforehand: this is how long they may wait. */
const PROOF_AGE = '5m';
const READY_MS = 15_000;

/** Starts it on a free port, with all that this cell needs, and waits until it takes proofs. */
export async function startBenchService(
  folder: TemporaryFolder,
  cell: Cell,
  executable: string = BINARY,
): Promise<BenchService> {
  await using starting = new AsyncDisposableStack();
  const port = await findFreePort();
  const url = `${cell.tls ? 'https' : 'http'}://127.0.0.1:${port}`;
  const realm = `${url}/token`;
  const identity = await createSelfSigned(folder, 'bench');
  const parties = await createParties(cell, identity);
  const redis = cell.replay === 'redis' ? starting.use(await startRedis()) : null;
  const { privateKey } = await createKey(cell.algorithms.signing);
  await writeFile(folder.at('jwks.json'), jwksOf(parties));
  await writeFile(folder.at('signing.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
  await writeFile(
    folder.at('registry-token.yaml'),
    JSON.stringify(configurationOf(cell, { port, realm, identity, redisUrl: redis?.url ?? null })),
  );

  const child = Bun.spawn(
    [...withParent, executable, 'serve', '--config', folder.at('registry-token.yaml')],
    {
      env: { PATH: searchPath },
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: Bun.file(folder.at('service.log')),
    },
  );
  starting.defer(async () => {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
    await child.exited;
    clearTimeout(timer);
  });
  try {
    await waitUntilReady(url, () => child.exitCode);
  } catch (cause) {
    throw new Error(`${String(cause)}\n${await readFile(folder.at('service.log'), 'utf8')}`);
  }
  await nextSecond();
  const started = starting.move();
  const countIssued = async () => {
    const text = await (await get(`${url}/metrics`)).text();
    const samples = text.matchAll(/^registry_token_issued_total\{[^}]*\} (\d+)$/gm);
    return samples.reduce((sum, [, count]) => sum + Number(count), 0);
  };
  return {
    pid: child.pid,
    ended: child.exited,
    target: { cell, parties, claims: { issuer: ISSUER, audience: AUDIENCE, realm }, service: SERVICE, url },
    countIssued,
    untilBusy: async (signal) => {
      for (const before = await countIssued(); (await countIssued()) === before; await Bun.sleep(20))
        signal.throwIfAborted();
    },
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}

interface Place {
  readonly port: number;
  readonly realm: string;
  readonly identity: TlsIdentity;
  readonly redisUrl: string | null;
}

function configurationOf(cell: Cell, { port, realm, identity, redisUrl }: Place): Section {
  const tls = { certPath: identity.certificatePath, keyPath: identity.keyPath };
  return {
    server: {
      listen: `127.0.0.1:${port}`,
      shutdownGrace: '1s',
      workers: cell.workers,
      ...(cell.tls ? { tls } : {}),
      ...(cell.binding === 'mtls' ? { trustedProxies: ['127.0.0.1/32'] } : {}),
    },
    authority: { issuer: ISSUER, jwksPath: 'jwks.json', audiences: [AUDIENCE], clockSkew: 0 },
    senderConstraint: {
      dpop: { maxAge: PROOF_AGE },
      replay:
        redisUrl === null ? { store: 'memory', capacity: 2_000_000 } : { store: 'redis', url: redisUrl },
    },
    signing: { issuer: 'registry-token.bench.example', keyPath: 'signing.pem' },
    registry: { realm, allowedServices: [SERVICE] },
    plans: { bench: { repositories: [{ pattern: 'bench/*' }] } },
    defaultPlan: 'bench',
    logging: { level: 'info', format: 'json' },
    ...cell.sections,
  };
}

/** The service's certificate is its own. */
function get(url: string): Promise<Response> {
  return fetch(url, { tls: { rejectUnauthorized: false } });
}

async function waitUntilReady(url: string, exitCode: () => number | null): Promise<void> {
  const deadline = performance.now() + READY_MS;
  while (performance.now() < deadline && exitCode() === null) {
    const status = await get(`${url}/readyz`)
      .then(({ status }) => status)
      .catch(() => 0);
    if (status === 200) return;
    await Bun.sleep(20);
  }
  throw new Error(
    exitCode() === null ? `${url}/readyz was not 200 in time.` : `The service ended (${exitCode()}).`,
  );
}
