/** More requests at once than `limits.inFlight` allows: some are answered, the others are told to come again. */
import { describe, expect, setDefaultTimeout, test } from 'bun:test';
import type { Socket } from 'node:net';
import { startBenchService } from '../bench/bench-service.ts';
import { usualCell } from '../bench/cells.ts';
import { readMemory } from '../bench/process-figures.ts';
import { createTemporaryFolder } from '../support/processes.ts';
import { openSocket, untilOpen, useConnection } from '../support/raw-client.ts';
import { tokenRequests } from '../support/token-text.ts';

setDefaultTimeout(60_000);

const IN_FLIGHT = 4;
const CLIENTS = 64;
const REQUESTS = 30;
/** Far more than a bounded queue can take, far less than an unbounded one would. */
const MOST_GROWTH_MIB = 60;

describe.each([
  ['plain HTTP', false],
  ['TLS', true],
] as const)('limits.inFlight over %s', (_, tls) => {
  test('answers 200 or 503 with Retry-After, keeps its memory, and all are answered again afterwards', async () => {
    await using folder = await createTemporaryFolder();
    const cell = { ...usualCell, tls, sections: { limits: { inFlight: IN_FLIGHT } } };
    await using service = await startBenchService(folder, cell);
    const target = { port: Number(new URL(service.target.url).port), tls };
    const requests = tokenRequests(service.target);
    // Written beforehand, so that the client can send faster than the service can answer.
    const prepare = () => Array.from({ length: REQUESTS }, requests);
    const storm = async () => {
      const answers: string[] = [];
      const use = (texts: string[]) =>
        useConnection(target, {
          keepAlive: true,
          pauseMs: () => 0,
          next: () => texts.pop() ?? null,
          onAnswer: (_, text) => void answers.push(text),
        });
      await Promise.all(Array.from({ length: CLIENTS }, prepare).map(use));
      return answers;
    };
    await storm();
    const before = readMemory(service.pid).now;
    const answers = await storm();
    expect(answers.length).toBe(CLIENTS * REQUESTS);
    const accepted = answers.filter((text) => text.startsWith('HTTP/1.1 200 '));
    const turnedAway = answers.filter((text) => /^HTTP\/1\.1 503 [\s\S]*^retry-after: \d+\r$/im.test(text));
    expect(accepted.length).toBeGreaterThan(0);
    expect(turnedAway.length).toBeGreaterThan(0);
    expect(accepted.length + turnedAway.length).toBe(answers.length);
    for (const text of turnedAway) expect(text).toInclude('"error":"temporarily_unavailable"');
    expect(readMemory(service.pid).now - before).toBeLessThan(MOST_GROWTH_MIB);

    const statuses: number[] = [];
    const texts = Array.from({ length: 20 }, requests);
    const options = {
      keepAlive: true,
      pauseMs: () => 0,
      onAnswer: (status: number) => void statuses.push(status),
    };
    await useConnection(target, { ...options, next: () => texts.pop() ?? null });
    expect(statuses).toEqual(Array(20).fill(200));
  });
});

describe.each([
  ['plain HTTP', false],
  ['TLS', true],
] as const)('slow clients over %s', (_, tls) => {
  test('who send byte by byte, half a body or nothing, by the thousand, keep nobody else waiting', async () => {
    await using folder = await createTemporaryFolder();
    await using service = await startBenchService(folder, { ...usualCell, tls });
    const target = { port: Number(new URL(service.target.url).port), tls };
    const open = async (count: number) => {
      const sockets: Socket[] = [];
      // Not all at once: this process has to shake hands with each, too.
      while (sockets.length < count) {
        const more = Array.from({ length: 50 }, () => openSocket(target));
        await Promise.all(more.map((socket) => untilOpen(socket, target)));
        sockets.push(...more);
      }
      return sockets;
    };
    const bytewise = await open(200);
    const half = await open(200);
    const idle = await open(tls ? 400 : 1000);
    const slow = [...bytewise, ...half, ...idle];
    using _ = {
      [Symbol.dispose]: () => {
        for (const socket of slow) socket.destroy();
      },
    };
    const head = 'POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n';
    for (const socket of half) socket.write(`${head}Content-Length: 1000\r\n\r\nservice=`);
    const text = `GET /token HTTP/1.1\r\nHost: x\r\nX-Slow: ${'a'.repeat(10_000)}`;
    let sent = 0;
    const dripping = setInterval(() => {
      for (const socket of bytewise) socket.write(text.charAt(sent));
      sent += 1;
    }, 100);
    using _dripping = { [Symbol.dispose]: () => clearInterval(dripping) };

    expect(slow.filter(({ destroyed }) => destroyed).length).toBe(0);
    const requests = tokenRequests(service.target);
    const statuses: number[] = [];
    for (let count = 0; count < 50; count += 1) {
      let next: string | null = requests();
      await useConnection(target, {
        keepAlive: false,
        pauseMs: () => 0,
        next: () => {
          const request = next;
          next = null;
          return request;
        },
        onAnswer: (status) => void statuses.push(status),
      });
      await Bun.sleep(25);
    }
    // Bun closes a connection that says nothing for 10 s: had each waited for that, the test would have been cut off.
    expect(statuses).toEqual(Array(50).fill(200));
    expect(sent).toBeGreaterThan(5);
  });
});
