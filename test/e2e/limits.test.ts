/** `limits`: the program itself answers 429 beyond them, says how long to wait, and counts it. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { startConfiguredService } from '../support/configured-service.ts';

setDefaultTimeout(60_000);

test.each([1, 3])(
  'with %d workers, a subject and an address are told to wait beyond limits.perSubject, and others are not',
  async (workers) => {
    await using service = await startConfiguredService({
      server: { workers },
      limits: { perSubject: '3/h' },
      anonymousPlan: 'community',
    });
    // Proofs from before the start are refused.
    await Bun.sleep(1100);
    const statuses: number[] = [];
    for (let asked = 0; asked < 5; asked += 1) statuses.push((await service.ask()).status);
    expect(statuses).toEqual([200, 200, 200, 429, 429]);

    const refused = await service.ask();
    expect(Number(refused.headers.get('retry-after'))).toBeWithin(1100, 1201);
    expect(await refused.json()).toMatchObject({ status: 429, error: 'slow_down' });
    expect((await service.ask('', { sub: 'another' })).status).toBe(200);

    const anonymous: number[] = [];
    for (let asked = 0; asked < 4; asked += 1) anonymous.push((await service.askAnonymously()).status);
    expect(anonymous).toEqual([200, 200, 200, 429]);
    expect(await service.metric('registry_token_rejected_total{reason="rate-limited"}')).toBe(4);
  },
);
