/** Reloads with workers: applied in order, and told only when every thread answers by them. */
import { afterAll, beforeEach, expect, setDefaultTimeout, test } from 'bun:test';
import fc from 'fast-check';
import { serve } from '../../src/cli/serve.ts';
import { createInstallation, type Sections } from '../assemble/installation.ts';
import { SERVICE } from '../support/tokens.ts';

setDefaultTimeout(300_000);

const site = await createInstallation();
afterAll(() => site[Symbol.asyncDispose]());
beforeEach(() => site.configure());

const REVOKED = 'LIC-9';
const LONG = 1_000_000;
const longList = Array.from({ length: LONG }, (_, index) => `LIST-${index}\n`).join('');

interface Serving extends AsyncDisposable {
  readonly url: string;
  readonly workers: Worker[];
  readonly lines: (message: string) => Record<string, unknown>[];
  readonly reload: () => void;
  readonly until: (message: string, count: number) => Promise<Record<string, unknown>>;
}

/** `serve` in this process, with workers that tests can reach. */
async function startServing(): Promise<Serving> {
  let text = '';
  let reload = () => {};
  const workers: Worker[] = [];
  const stop = Promise.withResolvers<void>();
  const lines = (message: string) =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line): Record<string, unknown> => JSON.parse(line))
      .filter((line) => line.message === message);
  const until = async (message: string, count: number) => {
    for (let tries = 0; tries < 3000; tries += 1) {
      const line = lines(message)[count - 1];
      if (line !== undefined) return line;
      await Bun.sleep(10);
    }
    throw new Error(`no ${count} lines "${message}" within 30 s:\n${text}`);
  };
  const exited = serve.run({
    args: ['--config', site.folder.at('registry-token.yaml')],
    env: {},
    self: ['registry-token'],
    readInput: async () => '',
    openInput: async function* () {},
    printPart: async () => true,
    print: () => {},
    tell: (line) => {
      text += line;
    },
    isTerminal: false,
    terminalColumns: null,
    isJournal: false,
    createWorker: () => {
      const worker = new Worker(new URL('../../src/worker.ts', import.meta.url));
      workers.push(worker);
      return worker;
    },
    processUsage: () => ({ cpuSeconds: 0, residentBytes: 0, startedAt: 0 }),
    stopRequested: stop.promise,
    onReloadRequested: (listener) => {
      reload = listener;
    },
  });
  const url = String((await until('ready', 1)).url);
  return {
    url,
    workers,
    lines,
    reload: () => reload(),
    until,
    [Symbol.asyncDispose]: async () => {
      stop.resolve();
      await exited;
    },
  };
}

function configure(workers: number, sections: Sections = {}): void {
  site.configure({
    server: { listen: '127.0.0.1:0', workers, shutdownGrace: 0 },
    logging: { level: 'info', format: 'json' },
    ...sections,
  });
}

/** The statuses of so many requests with this licence, each over a connection of its own. */
async function statusesOf(url: string, license: string, count: number): Promise<Record<number, number>> {
  // With fractions of a second: proofs dated before the start need a nonce.
  site.clock.now = Date.now() / 1000;
  const ask = async () => {
    const opTok = site.opTok({ claims: { 'stellaops:license': license } });
    const headers = {
      Authorization: `DPoP ${opTok}`,
      DPoP: site.proof(opTok, { claims: { iat: site.clock.now } }),
    };
    return (await fetch(`${url}/token?service=${SERVICE}`, { headers, keepalive: false })).status;
  };
  const counted: Record<number, number> = {};
  for (const status of await Promise.all(Array.from({ length: count }, ask)))
    counted[status] = (counted[status] ?? 0) + 1;
  return counted;
}

test('after the last of any reloads no thread issues a token for a licence that one of them revoked', async () => {
  const step = fc.record({
    isHeavy: fc.boolean(),
    gapMs: fc.oneof(fc.nat(6), fc.integer({ min: 250, max: 700 })),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(step, { minLength: 2, maxLength: 5 }),
      fc.nat(1),
      async (workers, steps, afterwards) => {
        configure(workers);
        await using serving = await startServing();
        const revokedAt = steps.length - 1 - afterwards;
        for (const [index, { isHeavy, gapMs }] of steps.entries()) {
          const revokedLicenses = index >= revokedAt ? [REVOKED] : [];
          // A list of its own, which takes a while to read: meanwhile other configurations could overtake this one.
          if (isHeavy) site.write(`revoked-${index}.txt`, longList);
          const list = isHeavy ? { revokedLicensesPath: `revoked-${index}.txt` } : {};
          configure(workers, { ...list, revokedLicenses });
          serving.reload();
          await Bun.sleep(gapMs);
        }
        const listed = steps.at(-1)?.isHeavy ? LONG : 0;
        const isInForce = () => serving.lines('reloaded').at(-1)?.revokedLicenses === listed + 1;
        for (let looks = 0; looks < 1200 && !isInForce(); looks += 1) await Bun.sleep(50);
        expect(isInForce()).toBe(true);
        // At once, and again when an older configuration would have come in late.
        for (const pauseMs of [0, 3000]) {
          await Bun.sleep(pauseMs);
          expect(await statusesOf(serving.url, REVOKED, 16 * workers)).toEqual({ 403: 16 * workers });
        }
        const generations = serving.lines('reloaded').map(({ generation }) => generation);
        expect(generations).toEqual(generations.map((_, index) => index + 2));
        expect(isInForce()).toBe(true);
      },
    ),
    { numRuns: 5, endOnFailure: true },
  );
});
