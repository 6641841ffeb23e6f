/** telemetry.listen: a second listener for those who scrape and probe. */
import { afterAll, expect, test } from 'bun:test';
import { findFreePort, start } from '../support/processes.ts';
import { serviceCommand } from '../support/running-service.ts';

const sample = new URL('../../etc/registry-token.yaml', import.meta.url).pathname;
const [port, telemetryPort] = [await findFreePort(), await findFreePort()];
const telemetry = `http://127.0.0.1:${telemetryPort}`;
const service = start([...serviceCommand, 'serve', '--config', sample, '--listen', `127.0.0.1:${port}`], {
  env: { REGISTRY_TOKEN_TELEMETRY__LISTEN: `127.0.0.1:${telemetryPort}` },
});
await service.waitForStatus(`${telemetry}/healthz`, 200);
afterAll(() => service.stop());

test('the telemetry listener answers health, readiness and metrics', async () => {
  expect((await fetch(`${telemetry}/readyz`)).status).toBe(503);
  expect(await (await fetch(`${telemetry}/metrics`)).text()).toContain('registry_token_build_info{');
});

test('the telemetry listener issues nothing and publishes no keys', async () => {
  for (const path of ['/token?service=registry.localhost', '/auth/token', '/.well-known/jwks.json', '/'])
    expect((await fetch(telemetry + path)).status).toBe(404);
});

test('the service answers its own paths as before', async () => {
  expect((await fetch(`http://127.0.0.1:${port}/token?service=registry.localhost`)).status).toBe(401);
  expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
});

test('a telemetry address that is taken ends with 1 and names the key', async () => {
  const second = start(
    [...serviceCommand, 'serve', '--config', sample, '--listen', `127.0.0.1:${await findFreePort()}`],
    { env: { REGISTRY_TOKEN_TELEMETRY__LISTEN: `127.0.0.1:${telemetryPort}` } },
  );
  try {
    expect(await second.exited).toBe(1);
    expect(second.stderr()).toContain('choose another telemetry.listen');
  } finally {
    await second.stop();
  }
});
