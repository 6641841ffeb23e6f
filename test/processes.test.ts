/** The processes that tests start. */
import { describe, expect, test } from 'bun:test';
import { describeWith } from './support/debian-parts.ts';
import { isRunning, start } from './support/processes.ts';

const support = (name: string) => JSON.stringify(new URL(`./support/${name}.ts`, import.meta.url).pathname);

/** Starts a test process that starts another one, kills the former, and waits for the latter's end. */
async function isLeftBehind(starting: string): Promise<boolean> {
  const program = `${starting}; console.log('started ' + pid); await Bun.sleep(60_000);`;
  await using child = start([process.execPath, '--eval', program]);
  const [, pid] = await child.waitForLine(/^started (\d+)$/);
  expect(isRunning(Number(pid))).toBe(true);
  child.signal('SIGKILL');
  await child.exited;
  for (let tries = 0; isRunning(Number(pid)) && tries < 100; tries += 1) await Bun.sleep(50);
  return isRunning(Number(pid));
}

describe('a test process that is killed', () => {
  test('leaves no service behind', async () => {
    const starting = `
      const { startConfiguredService } = await import(${support('configured-service')});
      const { pid } = (await startConfiguredService({ server: { workers: 2 } })).child`;
    expect(await isLeftBehind(starting)).toBe(false);
  }, 30_000);
});

describeWith(['redis-server'], 'a test process with a Redis that is killed', () => {
  test('leaves no redis-server behind', async () => {
    const starting = `
      const { startRedis } = await import(${support('redis')});
      const pid = (await startRedis()).pid()`;
    expect(await isLeftBehind(starting)).toBe(false);
  }, 30_000);
});
