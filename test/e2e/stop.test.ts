/**
 * SIGTERM under load: a request that was written to a connection which the service has accepted gets a whole answer,
 * though it was written after the signal. A connection that is refused, or closed before anything was written to it, is no
 * loss: its client asks elsewhere.
 */
import { describe, expect, setDefaultTimeout, test } from 'bun:test';
import { startBenchService } from '../bench/bench-service.ts';
import { usualCell } from '../bench/cells.ts';
import { createTemporaryFolder, isRunning } from '../support/processes.ts';
import { type Ending, useConnection } from '../support/raw-client.ts';
import { tokenRequests } from '../support/token-text.ts';

setDefaultTimeout(60_000);

const CLIENTS = 16;
/** So long after the signal clients still come, as they do until a load balancer has noticed. */
const STILL_COMING_MS = 200;

describe.each([
  ['plain HTTP, 1 worker', false, 1],
  ['plain HTTP, 2 workers', false, 2],
  ['TLS, 1 worker', true, 1],
  ['TLS, 2 workers', true, 2],
] as const)('SIGTERM under load: %s', (_, tls, workers) => {
  test.each([
    ['connections that are used again', true],
    ['a new connection each', false],
  ] as const)('every request over %s is answered whole', async (_, keepAlive) => {
    await using folder = await createTemporaryFolder();
    await using service = await startBenchService(folder, { ...usualCell, workers, tls });
    const target = { port: Number(new URL(service.target.url).port), tls };
    const requests = tokenRequests(service.target);
    let lastRequest = Number.POSITIVE_INFINITY;
    const comes = () => performance.now() < lastRequest;
    const endings: Record<Ending, number> = { answered: 0, lost: 0, refused: 0 };
    const statuses = new Map<number, number>();
    let answeredLate = 0;
    const options = {
      keepAlive,
      next: () => (comes() ? requests() : null),
      pauseMs: () => Math.random() * 10,
      onAnswer: (status: number, text: string) => {
        const whole = status === 200 && !text.endsWith('}') ? 0 : status;
        statuses.set(whole, (statuses.get(whole) ?? 0) + 1);
        if (lastRequest !== Number.POSITIVE_INFINITY) answeredLate += 1;
      },
    };
    const clients = Array.from({ length: CLIENTS }, async () => {
      while (comes()) endings[await useConnection(target, options)] += 1;
    });
    await Bun.sleep(500);
    process.kill(service.pid, 'SIGTERM');
    lastRequest = performance.now() + STILL_COMING_MS;
    await Promise.all(clients);
    await service.ended;
    expect(isRunning(service.pid)).toBe(false);
    expect({ lost: endings.lost, statuses: [...statuses.keys()] }).toEqual({ lost: 0, statuses: [200] });
    // New connections may all be refused from then on.
    if (keepAlive) expect(answeredLate).toBeGreaterThan(0);
  });
});
