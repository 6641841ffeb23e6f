/** A service that nobody asks: it spends no CPU, and waits for a body no longer than it says. */
import { describe, expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { startConfiguredService } from '../support/configured-service.ts';
import { SERVICE } from '../support/tokens.ts';

setDefaultTimeout(60_000);

/** Seconds of CPU that a process has used, all of its threads; proc(5). */
function cpuSeconds(processId: number): number {
  const stat = readFileSync(`/proc/${processId}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

describe.each([1, 3])('with %d workers', (workers) => {
  test('an idle service spends less than a twentieth of a core', async () => {
    await using service = await startConfiguredService({ server: { workers } });
    await Bun.sleep(3000);
    const before = cpuSeconds(service.child.pid);
    await Bun.sleep(6000);
    expect(cpuSeconds(service.child.pid) - before).toBeLessThan(0.3);
  });

  test('a body that does not end within 10 seconds is refused, and its connection closed', async () => {
    await using service = await startConfiguredService({ server: { workers } });
    const { hostname, port } = new URL(service.url);
    const socket = connect(Number(port), hostname);
    let answer = '';
    socket.on('data', (data) => {
      answer += data;
    });
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    const headers = {
      Host: 'x',
      ...service.credentials({}, { htm: 'POST' }),
      'Content-Type': 'application/x-www-form-urlencoded',
      'Content-Length': '1000',
    };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
    socket.write(`POST /token HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\nservice=${SERVICE}`);
    // One that says something all the time is no exception.
    const trickle = setInterval(() => socket.write('&'), 500);
    await closed;
    clearInterval(trickle);
    expect(answer).toStartWith('HTTP/1.1 400 ');
    expect(answer.toLowerCase()).toContain('\r\nconnection: close\r\n');
    expect(answer).toContain('The body took longer than 10 s.');
  });
});
