/** The service in a worker, made of what the main thread hands over. */
import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync, rmSync } from 'node:fs';
import type { Runtime } from '../../src/assemble/runtime.ts';
import { ThreadLock } from '../../src/platform/thread-lock.ts';
import { viewReplayMemory } from '../../src/replay/replay-memory.ts';
import { openWorkers } from '../../src/workers/open-workers.ts';
import { createSetup, type WorkerSetup } from '../../src/workers/setup.ts';
import { startWorkerService } from '../../src/workers/worker-service.ts';
import { createInstallation, type Sections } from '../assemble/installation.ts';
import { keySetOf } from '../support/faulty-authority.ts';
import { createKey, type TestKey } from '../support/keys.ts';
import { SERVICE } from '../support/tokens.ts';

setDefaultTimeout(30_000);

const site = await createInstallation();
afterAll(() => site[Symbol.asyncDispose]());

const logging = { level: 'info', format: 'json', isForJournal: false, sendsDecisions: false } as const;
const listen = { host: '127.0.0.1', port: 0 };
const main = { ask: () => Promise.reject(new Error('nothing to ask')), writeLines: () => {} };

function configure(sections: Sections = {}): void {
  site.configure({ server: { listen: '127.0.0.1:0', workers: 2 }, ...sections });
}

function setupOf(runtime: Runtime): WorkerSetup {
  return structuredClone(createSetup(runtime, { thread: 1, workers: 2, listen, logging }));
}

/** In this thread, which is enough to see what it is made of. */
async function startInThread(runtime: Runtime) {
  const service = await startWorkerService(setupOf(runtime), main);
  return {
    ...service,
    [Symbol.asyncDispose]: async () => {
      await service.listener.stop(0);
      await service.close();
    },
  };
}

async function statusOf(url: string, license = 'LIC-1', key: TestKey = site.authorityKey): Promise<number> {
  // With fractions of a second: proofs dated before the start need a nonce.
  site.clock.now = Date.now() / 1000;
  const header = { kid: key.thumbprint };
  const opTok = site.opTok({ key, header, claims: { 'stellaops:license': license } });
  const proof = site.proof(opTok, { claims: { iat: site.clock.now } });
  const headers = { Authorization: `DPoP ${opTok}`, DPoP: proof };
  return (await fetch(`${url}/token?service=${SERVICE}`, { headers, keepalive: false })).status;
}

test('is made of the files as the main thread has read them, whatever the disk has by then', async () => {
  site.write('revoked.txt', 'LIC-9\n');
  configure({ revokedLicensesPath: 'revoked.txt' });
  const runtime = await site.open();
  rmSync(site.folder.at('revoked.txt'));
  await using worker = await startInThread(runtime);
  expect(await statusOf(worker.listener.url, 'LIC-9')).toBe(403);
  expect(await statusOf(worker.listener.url)).toBe(200);
});

test('of two configurations the newer one is in use after a change', async () => {
  configure();
  const runtime = await site.open();
  await using worker = await startInThread(runtime);
  expect(await statusOf(worker.listener.url, 'LIC-9')).toBe(200);
  configure({ revokedLicenses: ['LIC-9'] });
  expect(await runtime.reload()).toEqual([]);
  await worker.change(setupOf(runtime));
  expect(await statusOf(worker.listener.url, 'LIC-9')).toBe(403);
});

describe('a key set that the main thread has fetched', () => {
  const open = async () => {
    configure({ authority: { jwksPath: undefined, metadataUrl: 'http://127.0.0.1:1/metadata' } });
    const runtime = await site.open();
    const source = runtime.service.authorityKeys.get('default')?.source ?? '';
    return { runtime, source, worker: await startInThread(runtime) };
  };

  test('is adopted', async () => {
    const { worker: started, source } = await open();
    await using worker = started;
    expect(await statusOf(worker.listener.url)).toBe(503);
    const json = JSON.stringify(keySetOf([site.authorityKey]));
    worker.hear({ source, json, fetchedAt: site.clock.now });
    expect(await statusOf(worker.listener.url)).toBe(200);
  });

  test('is not, where the configuration no longer names its Authority', async () => {
    const { worker: started, source } = await open();
    await using worker = started;
    const stranger = await createKey('ES256');
    const late = JSON.stringify(keySetOf([stranger]));
    worker.hear({ source: `${source} before`, json: late, fetchedAt: site.clock.now });
    expect(await statusOf(worker.listener.url, 'LIC-1', stranger)).toBe(503);
  });
});

test('revocations reach every worker although another part of the reload fails', async () => {
  site.write('revoked.txt', 'LIC-1\n');
  configure({ revokedLicensesPath: 'revoked.txt' });
  const runtime = await site.open();
  const key = readFileSync(site.folder.at('signing.pem'));
  const workers = await openWorkers(runtime, {
    count: 2,
    createWorker: () => new Worker(new URL('../../src/worker.ts', import.meta.url)),
    log: site.log,
    logging,
    writeLines: { log: () => {}, decisions: () => {} },
  });
  runtime.onReplaced = workers.change;
  const statuses = async (license: string) =>
    new Set(await Promise.all(Array.from({ length: 16 }, () => statusOf(workers.url, license))));
  try {
    expect(await statuses('LIC-9')).toEqual(new Set([200]));
    site.write('signing.pem', 'no key');
    site.write('revoked.txt', 'LIC-1\nLIC-9\n');
    expect((await runtime.reload()).map((mistake) => mistake.key)).toEqual(['signing.keyPath']);
    expect(await statuses('LIC-9')).toEqual(new Set([403]));
    expect(await statuses('LIC-2')).toEqual(new Set([200]));
  } finally {
    site.write('signing.pem', key);
    await workers.stop(0);
  }
});

describe('a worker that is killed', () => {
  test('leaves no lock behind, and the one in its place answers', async () => {
    configure();
    const runtime = await site.open();
    const started: Worker[] = [];
    const workers = await openWorkers(runtime, {
      count: 2,
      createWorker: () => {
        const worker = new Worker(new URL('../../src/worker.ts', import.meta.url));
        started.push(worker);
        return worker;
      },
      log: site.log,
      logging,
      writeLines: { log: () => {}, decisions: () => {} },
    });
    try {
      const { replayStore, rateTable } = runtime.dependencies;
      const { lock } = viewReplayMemory(replayStore.memory ?? new SharedArrayBuffer(0));
      // As the worker would hold them that is killed at work.
      expect(new ThreadLock(lock, 1).acquire()).toBe(true);
      const rates = new Int32Array(rateTable.memory, 0, 1);
      expect(new ThreadLock(rates, 1).acquire()).toBe(true);
      expect(replayStore.count(0)).toBeNull();
      started[0]?.terminate();
      for (let tries = 0; tries < 500 && started.length < 3; tries += 1) await Bun.sleep(10);
      expect(replayStore.count(0)).toBe(0);
      expect(Atomics.load(rates, 0)).toBe(0);
      for (let tries = 0; tries < 500 && !(await workers.isAlive()); tries += 1) await Bun.sleep(10);
      expect(await Promise.all(Array.from({ length: 8 }, () => statusOf(workers.url)))).toEqual(
        Array(8).fill(200),
      );
    } finally {
      await workers.stop(0);
    }
  });
});
