/** A log that nobody reads: neither memory nor the stop of the service depends on a reader. */
import { expect, test } from 'bun:test';
import { findFreePort, withParent } from '../support/processes.ts';
import { serviceCommand } from '../support/running-service.ts';

const sample = new URL('../../etc/registry-token.yaml', import.meta.url).pathname;

test('stops on SIGTERM while nobody reads its log', async () => {
  const url = `http://127.0.0.1:${await findFreePort()}`;
  const service = Bun.spawn(
    [...withParent, ...serviceCommand, 'serve', '--config', sample, '--listen', url.slice(7)],
    {
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: 'pipe',
    },
  );
  try {
    for (let tries = 0; tries < 100 && !(await isUp(url)); tries += 1) await Bun.sleep(50);
    const scope = 'repository:stella-ops/public/a:pull '.repeat(60);
    for (let count = 0; count < 400; count += 1)
      await fetch(`${url}/token?service=registry.localhost&scope=${encodeURIComponent(scope + count)}`);
    service.kill('SIGTERM');
    const ended = await Promise.race([service.exited.then(() => true), Bun.sleep(5000).then(() => false)]);
    expect(ended).toBe(true);
  } finally {
    service.kill('SIGKILL');
  }
}, 20_000);

async function isUp(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/healthz`)).ok;
  } catch {
    return false;
  }
}
