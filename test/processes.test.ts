/** The processes that tests start. */
import { expect, test } from 'bun:test';
import { describeWith } from './support/debian-parts.ts';
import { isRunning, start } from './support/processes.ts';

const support = new URL('./support/redis.ts', import.meta.url).pathname;

describeWith(['redis-server'], 'a test process that ends early', () => {
  test('leaves no redis-server behind, though it was killed', async () => {
    const program = `
      const { startRedis } = await import(${JSON.stringify(support)});
      const redis = await startRedis();
      console.log('redis: ' + redis.pid());
      await Bun.sleep(60_000);`;
    await using child = start([process.execPath, '--eval', program]);
    const [, pid] = await child.waitForLine(/^redis: (\d+)$/);
    expect(isRunning(Number(pid))).toBe(true);
    child.signal('SIGKILL');
    await child.exited;
    for (let tries = 0; isRunning(Number(pid)) && tries < 100; tries += 1) await Bun.sleep(50);
    expect(isRunning(Number(pid))).toBe(false);
  }, 30_000);
});
