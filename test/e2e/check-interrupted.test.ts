import { expect, test } from 'bun:test';
import { start } from '../support/processes.ts';
import { serviceCommand } from '../support/running-service.ts';

test('check ends at once on SIGTERM while an Authority keeps it waiting', async () => {
  const asked = Promise.withResolvers<void>();
  const silent = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: () => {
      asked.resolve();
      return new Promise<Response>(() => {});
    },
  });
  const sample = new URL('../../etc/registry-token.yaml', import.meta.url).pathname;
  const check = start([...serviceCommand, 'check', '--config', sample], {
    env: { REGISTRY_TOKEN_AUTHORITY__ISSUER: `http://127.0.0.1:${silent.port}` },
  });
  try {
    await asked.promise;
    const started = performance.now();
    check.signal('SIGTERM');
    expect(await check.exited).toBe(143);
    expect(performance.now() - started).toBeLessThan(3000);
  } finally {
    await check.stop();
    await silent.stop(true);
  }
});
