/** What a running service does while its Authority is down, slow or lying. */
import { describe, expect, setDefaultTimeout, test } from 'bun:test';
import { randomUUID } from 'node:crypto';
import {
  answersJson,
  answersStatus,
  answersText,
  type FaultyAuthority,
  hangsUp,
  startFaultyAuthority,
  staysSilent,
} from '../support/faulty-authority.ts';
import { createKey } from '../support/keys.ts';
import { findFreePort, settled } from '../support/processes.ts';
import {
  createProcessClient,
  createServiceProcess,
  metricOf,
  type ProcessOptions,
  type Reply,
  type ServiceProcess,
  startServiceHere,
  untilStatus,
} from '../support/service-process.ts';

setDefaultTimeout(60_000);

/** Less than the 5 seconds for which a silent Authority is waited for. */
const NO_WAIT_MS = 4000;

const [authorityKey, nextKey] = await Promise.all([createKey('ES256'), createKey('ES256')]);
const client = await createProcessClient(authorityKey);

async function startService(authority: ProcessOptions['authority']): Promise<ServiceProcess> {
  const service = await createServiceProcess({ authority });
  await service.start();
  return service;
}

/** With an OpTok and a proof of its own. */
function askAnew(service: ServiceProcess, key = authorityKey): Promise<Reply> {
  const opTok = client.opTok({}, key);
  return service.ask(opTok, client.proof(opTok));
}

function expectUnavailable(reply: Reply): void {
  expect([reply.status, reply.error]).toEqual([503, 'temporarily_unavailable']);
  expect(reply.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
  expect(reply.text).not.toContain('"token"');
}

const refreshes = (service: ServiceProcess, result: string) =>
  metricOf(service, `registry_token_authority_refresh_total{authority="default",result="${result}"}`);

describe('fault: the Authority is down when the service starts', () => {
  test.concurrent('the service comes up, answers 503 with Retry-After, and recovers by itself', async () => {
    const port = await findFreePort();
    const metadataUrl = `http://127.0.0.1:${port}/.well-known/openid-configuration`;
    await using service = await startService({ metadataUrl });
    const readiness = await service.get('/readyz');
    expect(readiness.status).toBe(503);
    expect(readiness.text).toContain('authority-keys: ');
    expectUnavailable(await askAnew(service));
    expect((await service.get('/.well-known/jwks.json')).status).toBe(200);
    expect(await refreshes(service, 'success')).toBe(0);
    expect(await refreshes(service, 'failure')).toBeGreaterThan(0);

    await using authority = await startFaultyAuthority([authorityKey], { port });
    const waited = await untilStatus(200, 15_000, () => service.get('/readyz'));
    expect(waited).toBeLessThan(12_000);
    expect((await askAnew(service)).status).toBe(200);
    expect(authority.fetches()).toBe(1);
    expect(await settled(service.output)).toContain('"authority keys not fetched"');
  });

  test.concurrent('an Authority that is silent makes a request wait 5 seconds for its 503, and nothing else', async () => {
    await using authority = await startFaultyAuthority([authorityKey]);
    authority.behave({ metadata: staysSilent });
    await using service = await startService(authority);
    const waiting = askAnew(service);
    for (const [path, status] of [
      ['/readyz', 503],
      ['/healthz', 200],
      ['/metrics', 200],
    ] as const) {
      const reply = await service.get(path);
      expect(reply.status).toBe(status);
      expect(reply.milliseconds).toBeLessThan(NO_WAIT_MS);
    }
    const reply = await waiting;
    expectUnavailable(reply);
    expect(reply.milliseconds).toBeLessThan(6000);
  });

  test.concurrent('an Authority that is silent does not delay the end of the service', async () => {
    await using authority = await startFaultyAuthority([authorityKey]);
    authority.behave({ metadata: staysSilent });
    await using service = await startService(authority);
    await service.get('/readyz');
    const stopping = performance.now();
    expect(await service.stop()).toBe(0);
    expect(performance.now() - stopping).toBeLessThan(2000);
  });
});

describe('fault: the Authority goes down while the service runs', () => {
  test.concurrent('tokens go on being issued with the keys that are there, new keys are 401, and the age of the keys grows', async () => {
    await using authority = await startFaultyAuthority([authorityKey]);
    await using service = await startService(authority);
    await untilStatus(200, 5000, () => service.get('/readyz'));
    authority.behave({ metadata: hangsUp });
    expect((await askAnew(service)).status).toBe(200);
    const refused = await askAnew(service, nextKey);
    expect([refused.status, refused.error]).toEqual([401, 'invalid_token']);
    expect((await service.get('/readyz')).status).toBe(200);
    const age = await metricOf(service, 'registry_token_authority_keys_age_seconds{authority="default"}');
    await Bun.sleep(300);
    expect(
      await metricOf(service, 'registry_token_authority_keys_age_seconds{authority="default"}'),
    ).toBeGreaterThan(age + 0.2);
    await authority[Symbol.asyncDispose]();
    for (let asked = 0; asked < 5; asked += 1) expect((await askAnew(service)).status).toBe(200);
  });
});

describe('fault: the Authority is slow or lies', () => {
  test.concurrent('a key set that is empty, garbage, or of another issuer replaces nothing; the failures are counted', async () => {
    const lies: readonly Parameters<FaultyAuthority['behave']>[0][] = [
      { keySet: answersJson({ keys: [] }) },
      { keySet: answersText('<html>', 'text/html') },
      { keySet: answersStatus(500) },
      {
        metadata: answersJson({ issuer: 'https://evil.example.com', jwks_uri: 'https://evil.example.com/' }),
      },
    ];
    await Promise.all(
      lies.map(async (lie) => {
        await using authority = await startFaultyAuthority([authorityKey]);
        // Lies at first, so that the next tries come after 5 seconds rather than after the cool-down of 30.
        authority.behave(lie);
        await using service = await startService(authority);
        expectUnavailable(await askAnew(service));
        expect(await refreshes(service, 'failure')).toBeGreaterThan(0);
        authority.behave({});
        await untilStatus(200, 15_000, () => service.get('/readyz'));
        expect((await askAnew(service)).status).toBe(200);
        expect(await refreshes(service, 'success')).toBe(1);
      }),
    );
  });

  test.concurrent('while it is silent, holders of known keys are answered at once, and a flood of unknown kids waits for one fetch', async () => {
    await using authority = await startFaultyAuthority([authorityKey]);
    const clock = { now: Date.now() / 1000 };
    await using service = await startServiceHere({ authority }, clock);
    const { opTok, proof } = await createProcessClient(authorityKey, () => clock.now);
    const known = opTok();
    expect((await service.ask(known, proof(known))).status).toBe(200);
    authority.behave({ metadata: staysSilent });
    clock.now += 30;
    const before = authority.requests.length;
    const forgeries = Array.from({ length: 100 }, () => opTok({}, { ...nextKey, thumbprint: randomUUID() }));
    const flood = forgeries.map((forged) => service.ask(forged, proof(forged)));
    await Bun.sleep(100);
    for (let asked = 0; asked < 20; asked += 1) {
      const reply = await service.ask(known, proof(known));
      expect(reply.status).toBe(200);
      expect(reply.milliseconds).toBeLessThan(NO_WAIT_MS);
    }
    expect((await service.get('/readyz')).status).toBe(200);
    for (const reply of await Promise.all(flood)) {
      expect([reply.status, reply.error]).toEqual([401, 'invalid_token']);
      expect(reply.milliseconds).toBeLessThan(7000);
    }
    expect(authority.requests.length - before).toBe(1);
    const late = opTok({}, nextKey);
    const reply = await service.ask(late, proof(late));
    expect(reply.status).toBe(401);
    expect(reply.milliseconds).toBeLessThan(NO_WAIT_MS);
  });
});
