/** The compiled binary as the bench runs it: a process of its own, its log in a file, its figures from Linux. */
import { readFile, writeFile } from 'node:fs/promises';
import { stringify } from 'yaml';
import { createKey } from '../support/keys.ts';
import { findFreePort, searchPath, type TemporaryFolder } from '../support/processes.ts';
import { BINARY, nextSecond } from '../support/running-service.ts';
import type { Cell } from './cells.ts';
import type { LoadTarget } from './load.ts';
import { createParties, jwksOf } from './requests.ts';

export interface BenchService extends AsyncDisposable {
  readonly pid: number;
  readonly target: LoadTarget;
  /** How many tokens it has issued. */
  readonly countIssued: () => Promise<number>;
}

const SERVICE = 'registry.bench.example';
const AUDIENCE = 'registry';
/** Its keys come from a file; nobody is asked. */
const ISSUER = 'https://authority.bench.example';
/** Proofs are prepared beforehand: this is how long they may wait. */
const PROOF_AGE = '10m';
const READY_MS = 15_000;

/** Starts it on a free port, with all that this cell needs, and waits until it takes proofs. */
export async function startBenchService(folder: TemporaryFolder, cell: Cell): Promise<BenchService> {
  const port = await findFreePort();
  const url = `http://127.0.0.1:${port}`;
  const realm = `${url}/token`;
  const parties = await createParties(cell);
  const { privateKey } = await createKey(cell.algorithms.signing);
  await writeFile(folder.at('jwks.json'), jwksOf(parties));
  await writeFile(folder.at('signing.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
  await writeFile(folder.at('registry-token.yaml'), stringify(configurationOf(cell, port, realm)));

  const child = Bun.spawn([BINARY, 'serve', '--config', folder.at('registry-token.yaml')], {
    env: { PATH: searchPath },
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: Bun.file(folder.at('service.log')),
  });
  const dispose = async () => {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
    await child.exited;
    clearTimeout(timer);
  };
  try {
    await waitUntilReady(url, () => child.exitCode);
  } catch (cause) {
    await dispose();
    throw new Error(`${String(cause)}\n${await readFile(folder.at('service.log'), 'utf8')}`);
  }
  await nextSecond();
  return {
    pid: child.pid,
    target: { cell, parties, claims: { issuer: ISSUER, audience: AUDIENCE, realm }, service: SERVICE, url },
    countIssued: async () => {
      const text = await (await fetch(`${url}/metrics`)).text();
      const samples = text.matchAll(/^registry_token_issued_total\{[^}]*\} (\d+)$/gm);
      return samples.reduce((sum, [, count]) => sum + Number(count), 0);
    },
    [Symbol.asyncDispose]: dispose,
  };
}

function configurationOf({ sections }: Cell, port: number, realm: string): object {
  return {
    server: { listen: `127.0.0.1:${port}`, shutdownGrace: '1s' },
    authority: { issuer: ISSUER, jwksPath: 'jwks.json', audiences: [AUDIENCE] },
    senderConstraint: { dpop: { maxAge: PROOF_AGE }, replay: { store: 'memory', capacity: 2_000_000 } },
    signing: { issuer: 'registry-token.bench.example', keyPath: 'signing.pem' },
    registry: { realm, allowedServices: [SERVICE] },
    plans: { bench: { repositories: [{ pattern: 'bench/*' }] } },
    defaultPlan: 'bench',
    logging: { level: 'info', format: 'json' },
    ...sections,
  };
}

async function waitUntilReady(url: string, exitCode: () => number | null): Promise<void> {
  const deadline = performance.now() + READY_MS;
  while (performance.now() < deadline && exitCode() === null) {
    const status = await fetch(`${url}/readyz`)
      .then(({ status }) => status)
      .catch(() => 0);
    if (status === 200) return;
    await Bun.sleep(20);
  }
  throw new Error(
    exitCode() === null ? `${url}/readyz was not 200 in time.` : `The service ended (${exitCode()}).`,
  );
}
