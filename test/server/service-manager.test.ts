/** What the service manager is told, over a real socket of its kind. */
import { afterAll, beforeEach, describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import {
  connectServiceManager,
  type ServiceManagerOptions,
  watchdogPeriod,
} from '../../src/server/service-manager.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { listenForNotifications } from '../support/notify-receiver.ts';
import { createTemporaryFolder } from '../support/processes.ts';

const folder = await createTemporaryFolder();
afterAll(() => folder[Symbol.asyncDispose]());
let count = 0;
let address = '';
let warnings: string[] = [];
beforeEach(() => {
  count += 1;
  address = folder.at(`notify-${count}`);
  warnings = [];
});
const log = createLog('warn', 'json', (line) => void warnings.push(line));

function connect(env: ServiceManagerOptions['env'], isAlive = async () => true) {
  return connectServiceManager({ env, log, isAlive });
}

describe('the service manager', () => {
  test('is told of readiness, reload and stop in its own words', async () => {
    using receiver = listenForNotifications(address);
    using manager = connect({ NOTIFY_SOCKET: address });
    manager.ready('listening on http://127.0.0.1:8085');
    manager.reloading();
    manager.stopping(10_000);
    const [ready, reloading, stopping, ...more] = receiver.received();
    expect(ready).toEqual({ READY: '1', STATUS: 'listening on http://127.0.0.1:8085' });
    expect(reloading).toEqual({
      RELOADING: '1',
      MONOTONIC_USEC: expect.stringMatching(/^\d+$/),
      STATUS: 'reloading',
    });
    expect(stopping).toEqual({ STOPPING: '1', STATUS: 'stopping', EXTEND_TIMEOUT_USEC: '15000000' });
    expect(more).toEqual([]);
    expect(warnings).toEqual([]);
  });

  test('is told the time of a reload by the clock that counts from the start of the machine', async () => {
    using receiver = listenForNotifications(address);
    using manager = connect({ NOTIFY_SOCKET: address });
    manager.reloading();
    const told = Number(receiver.received()[0]?.MONOTONIC_USEC) / 1e6;
    const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ', 1));
    // The uptime counts suspended time too, so it is never behind by more than its two digits.
    expect(told).toBeLessThanOrEqual(uptime + 0.02);
    expect(told).toBeGreaterThan(uptime / 2);
  });

  test('is reached in the abstract namespace', async () => {
    const name = `@registry-token-test-${crypto.randomUUID()}`;
    using receiver = listenForNotifications(name);
    using manager = connect({ NOTIFY_SOCKET: name });
    manager.ready('x');
    expect(receiver.received()).toHaveLength(1);
  });

  test('gets a status of one line, whatever is in it', async () => {
    using receiver = listenForNotifications(address);
    using manager = connect({ NOTIFY_SOCKET: address });
    manager.ready('a\nMAINPID=1');
    expect(receiver.received()).toEqual([{ READY: '1', STATUS: 'a MAINPID=1' }]);
  });

  test('is told nothing where it did not ask', async () => {
    for (const env of [{}, { NOTIFY_SOCKET: '' }]) {
      using manager = connect(env);
      manager.ready('x');
    }
    expect(warnings).toEqual([]);
  });
});

describe('a socket that is of no use is told once and stops nothing', () => {
  test.each([
    ['relative/path', 'neither an absolute path nor @name'],
    ['vsock:2:1234', 'neither an absolute path nor @name'],
    ['/', 'neither an absolute path nor @name'],
    [`/${'x'.repeat(107)}`, '107 bytes'],
    ['/nonexistent/notify', 'no process receives'],
    ['@registry-token-test-nobody', 'no process receives'],
  ])('%s', async (useless, reason) => {
    using manager = connect({ NOTIFY_SOCKET: useless });
    manager.ready('x');
    manager.reloading();
    manager.stopping(0);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(reason);
  });

  test('a manager that reads nothing holds the service up for a tenth of a second, no longer', async () => {
    using _receiver = listenForNotifications(address);
    using manager = connect({ NOTIFY_SOCKET: address });
    let longest = 0;
    for (let sent = 0; warnings.length === 0 && sent < 100_000; sent += 1) {
      const started = performance.now();
      manager.ready('x');
      longest = Math.max(longest, performance.now() - started);
    }
    expect(warnings).toHaveLength(1);
    expect(longest).toBeLessThan(1000);
  });
});

describe('the watchdog', () => {
  test('beats twice in its time', async () => {
    using receiver = listenForNotifications(address);
    using _manager = connect({ NOTIFY_SOCKET: address, WATCHDOG_USEC: '200000' });
    await Bun.sleep(550);
    const beats = receiver.received().filter(({ WATCHDOG }) => WATCHDOG === '1').length;
    expect(beats).toBeGreaterThanOrEqual(3);
    expect(beats).toBeLessThanOrEqual(5);
  });

  test.each([
    ['cannot answer', async () => false],
    ['breaks when asked', () => Promise.reject(new Error('broken'))],
  ])('does not beat for a service that %s', async (_, isAlive) => {
    using receiver = listenForNotifications(address);
    using _manager = connect({ NOTIFY_SOCKET: address, WATCHDOG_USEC: '20000' }, isAlive);
    await Bun.sleep(100);
    expect(receiver.received()).toEqual([]);
  });

  test('ends with its service', async () => {
    using receiver = listenForNotifications(address);
    (await connect({ NOTIFY_SOCKET: address, WATCHDOG_USEC: '20000' }))[Symbol.dispose]();
    await Bun.sleep(100);
    expect(receiver.received()).toEqual([]);
    expect(warnings).toEqual([]);
  });

  test.each([
    [{}, null],
    [{ WATCHDOG_USEC: '30000000' }, 15_000],
    [{ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '7' }, 15_000],
    [{ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '8' }, null],
    [{ WATCHDOG_USEC: '1' }, 1],
    [{ WATCHDOG_USEC: '0' }, null],
    [{ WATCHDOG_USEC: '-1' }, null],
    [{ WATCHDOG_USEC: 'soon' }, null],
    [{ WATCHDOG_USEC: '999999999999999' }, 2 ** 31 - 1],
  ])('of process 7 with %o has a period of %p ms', (env, period) => {
    expect(watchdogPeriod(env, 7)).toBe(period);
  });
});
