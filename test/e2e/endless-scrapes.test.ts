/** A Prometheus that never stops scraping: what it asks for is collected once for all who ask at a time. */
import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { startConfiguredService } from '../support/configured-service.ts';

const PLANS = 1000;
const SCRAPERS = 10;
/** Ask many times over one connection and never read an answer. */
const DEAF = 20;
const UNREAD = 1000;

const plans = Object.fromEntries(
  Array.from({ length: PLANS }, (_, index) => [`plan-${index}`, { repositories: [{ pattern: 'public/*' }] }]),
);

function residentMiB(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

function connectDeaf(url: string): Socket {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  socket.pause();
  socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(UNREAD));
  return socket;
}

test('scrapers without an end neither stop tokens nor fill the memory', async () => {
  await using service = await startConfiguredService({ plans, defaultPlan: 'plan-0' });
  const scrape = async () => (await fetch(`${service.url}/metrics`)).text();
  expect((await scrape()).length).toBeGreaterThan(PLANS * 40);
  for (let count = 0; count < 50; count += 1) await scrape();
  const before = residentMiB(service.child.pid);
  let goesOn = true;
  let scrapes = 0;
  const scraper = async () => {
    while (goesOn) {
      expect(await scrape()).toContain('registry_token_issued_total{plan="plan-999"} 0');
      scrapes += 1;
    }
  };
  const scrapers = Array.from({ length: SCRAPERS }, scraper);
  const deaf = Array.from({ length: DEAF }, () => connectDeaf(service.url));
  try {
    for (let count = 0; count < 20; count += 1)
      expect((await service.ask('repository:public/a:pull')).status).toBe(200);
  } finally {
    goesOn = false;
    await Promise.all(scrapers);
    for (const socket of deaf) socket.destroy();
  }
  expect(scrapes).toBeGreaterThan(SCRAPERS);
  // What was asked for and not read is over a GiB.
  expect(residentMiB(service.child.pid) - before).toBeLessThan(300);
}, 60_000);
