/** A flood of values that nobody has seen before: none of them becomes a series, whichever worker gets it. */
import { expect, test } from 'bun:test';
import { startConfiguredService } from '../support/configured-service.ts';
import { SERVICE } from '../support/tokens.ts';

const FLOOD = 600;

/** Name and labels of each series. */
const seriesIn = (text: string) =>
  text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.slice(0, line.lastIndexOf(' ')))
    .sort();

test('600 requests with new plans, scopes, services, user agents and methods make no series', async () => {
  await using service = await startConfiguredService({ server: { workers: 2 } });
  const scrape = async () => seriesIn(await (await fetch(`${service.url}/metrics`)).text());
  const before = await scrape();
  expect(before.length).toBeGreaterThan(70);
  const statuses = new Map<number, number>();
  const flood = async (index: number) => {
    const strange = `x${index}-${crypto.randomUUID()}`;
    const headers = {
      ...service.credentials({
        'stellaops:plan': index % 3 === 0 ? strange : 'community',
        'stellaops:license': strange,
        sub: strange,
      }),
      'User-Agent': strange,
      'X-Request-ID': strange,
      'X-Forwarded-For': strange,
      Accept: strange,
    };
    const asked = new URLSearchParams({
      service: index % 4 === 0 ? strange : SERVICE,
      scope: index % 2 === 0 ? `repository:public/${strange}:pull` : `${strange}:a:b`,
      account: strange,
      [strange]: strange,
    });
    const method =
      index % 5 === 0 ? (['PUT', 'DELETE', 'PATCH'][index % 3] ?? 'PUT') : index % 7 === 0 ? 'POST' : 'GET';
    const path = index % 11 === 0 ? `/${strange}` : '/token';
    const { status } = await fetch(`${service.url}${path}?${asked}`, { method, headers, keepalive: false });
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
  };
  for (let first = 0; first < FLOOD; first += 50)
    await Promise.all(Array.from({ length: 50 }, (_, index) => flood(first + index)));
  for (const status of [200, 400, 403, 404, 405])
    expect([status, statuses.has(status)]).toEqual([status, true]);
  expect(await scrape()).toEqual(before);
}, 60_000);
