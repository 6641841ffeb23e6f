/** The program with several workers: one port, one memory of used proofs, one configuration, one set of metrics. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { decodeJwt } from 'jose';
import { type ConfiguredService, startConfiguredService } from '../support/configured-service.ts';
import { hangsUp, startFaultyAuthority } from '../support/faulty-authority.ts';
import { createKey } from '../support/keys.ts';
import { run } from '../support/processes.ts';
import type { Section } from '../support/running-service.ts';
import { serviceCommand } from '../support/running-service.ts';
import {
  createProcessClient,
  createServiceProcess,
  metricOf,
  untilStatus,
} from '../support/service-process.ts';

setDefaultTimeout(60_000);

const WORKERS = 3;
const ISSUED = 'registry_token_issued_total{plan="community"}';

function sections(more: Section = {}): Section {
  return {
    server: { workers: WORKERS },
    senderConstraint: { dpop: { nonce: 'off' } },
    logging: { level: 'info', format: 'json' },
    ...more,
  };
}

async function statuses(answers: readonly Promise<Response>[]): Promise<Record<number, number>> {
  const counted: Record<number, number> = {};
  for (const { status } of await Promise.all(answers)) counted[status] = (counted[status] ?? 0) + 1;
  return counted;
}

describe(`${WORKERS} workers`, () => {
  let service: ConfiguredService;

  beforeAll(async () => {
    service = await startConfiguredService(sections());
    // Proofs from before the start are refused.
    await Bun.sleep(1000);
  });

  afterAll(() => service?.[Symbol.asyncDispose]());

  test('issue one token for a hundred copies of a proof, whoever of them gets it', async () => {
    for (let round = 0; round < 5; round += 1) {
      const headers = service.credentials();
      const copies = Array.from({ length: 100 }, () => service.askWith(headers));
      expect(await statuses(copies)).toEqual({ 200: 1, 401: 99 });
    }
  });

  test('count what all of them do, and never less than before, whoever is asked', async () => {
    const before = await service.metric(ISSUED);
    let last = before;
    for (let round = 1; round <= 20; round += 1) {
      expect(
        await statuses(Array.from({ length: 5 }, () => service.ask('repository:public/a:pull'))),
      ).toEqual({
        200: 5,
      });
      const now = await service.metric(ISSUED);
      expect(now).toBe(before + 5 * round);
      expect(now).toBeGreaterThan(last);
      last = now;
    }
    expect(await service.metric('registry_token_replay_entries')).toBeGreaterThanOrEqual(100);
  });

  test('log every decision once, in whole lines', async () => {
    const ask = () => service.ask('repository:public/logged:pull');
    const answers = await Promise.all(Array.from({ length: 60 }, ask));
    const jtis = await Promise.all(
      answers.map(async (answer) => decodeJwt(((await answer.json()) as { token: string }).token).jti),
    );
    await Bun.sleep(200);
    const logged = service.child
      .stderr()
      .split('\n')
      .filter((line) => line.includes('public/logged'))
      .map((line) => JSON.parse(line).jti);
    expect(logged.sort()).toEqual(jtis.sort());
  });

  test('all use a new configuration once the reload is told to be done', async () => {
    for (let count = 1; count <= 6; count += 1) {
      const done = await service.reloads('success');
      const issuer = `issuer-${count}.example.com`;
      service.configure(
        sections({
          signing: { issuer, keyPath: 'registry-signing.pem' },
          plans: { [`plan-${count}`]: { repositories: [{ pattern: 'public/*' }] } },
          defaultPlan: `plan-${count}`,
        }),
      );
      service.child.signal('SIGHUP');
      await service.untilReloads('success', done + 1);
      await service.child.waitForLine(/"message":"reloaded"/);
      await Bun.sleep(50);
      const answers = await Promise.all(
        Array.from({ length: 30 }, () => service.ask('repository:public/a:pull')),
      );
      const issuers = await Promise.all(
        answers.map(async (answer) => decodeJwt(((await answer.json()) as { token: string }).token).iss),
      );
      expect(new Set(issuers)).toEqual(new Set([issuer]));
      expect(await service.metric(`registry_token_issued_total{plan="plan-${count}"}`)).toBe(30);
    }
  });

  test('the delay of every event loop is counted', async () => {
    await Bun.sleep(300);
    expect(await service.metric('registry_token_event_loop_delay_seconds_count')).toBeGreaterThan(WORKERS);
  });

  test('a configuration with mistakes is taken by none', async () => {
    service.configure(sections({ anonymousPlan: 7 }));
    await service.untilReloads('failure', 1);
    expect(await statuses(Array.from({ length: 30 }, () => service.ask('repository:public/a:pull')))).toEqual(
      {
        200: 30,
      },
    );
  });

  test('answer about health, readiness, metrics and keys, whoever is asked', async () => {
    for (const path of ['/healthz', '/readyz', '/metrics', '/.well-known/jwks.json'])
      expect(
        await statuses(
          Array.from({ length: 20 }, () => fetch(`${service.url}${path}`, { keepalive: false })),
        ),
      ).toEqual({ 200: 20 });
  });

  test('do not share their port with another process', async () => {
    const second = await run([...serviceCommand, 'serve', '--config', service.folder.at('second.yaml')], {
      timeoutMs: 10_000,
    }).catch(() => null);
    expect(second?.exitCode).not.toBe(0);
    service.configure(sections());
    const listen = new URL(service.url).host;
    const third = await run(
      [...serviceCommand, 'serve', '--config', service.folder.at('registry-token.yaml'), '--listen', listen],
      { timeoutMs: 10_000 },
    );
    expect(third.exitCode).toBe(1);
    expect(third.stderr).toContain(`cannot listen on ${listen}: another process uses that address`);
  });

  test('stop together, and their last lines are there', async () => {
    service.child.signal('SIGTERM');
    expect(await service.child.exited).toBe(0);
    expect(service.child.stderr().trim().split('\n').at(-1)).toContain('"message":"stopped"');
  });
});

test('a nonce of one worker is good at every other', async () => {
  await using service = await startConfiguredService(
    sections({ senderConstraint: { dpop: { nonce: 'required' } } }),
  );
  await Bun.sleep(1000);
  const refused = await service.ask();
  const nonce = refused.headers.get('dpop-nonce');
  expect(refused.status).toBe(401);
  expect(await statuses(Array.from({ length: 30 }, () => service.ask('', {}, { nonce })))).toEqual({
    200: 30,
  });
});

test('auto is one worker for each core', async () => {
  await using service = await startConfiguredService(sections({ server: { workers: 'auto' } }));
  await Bun.sleep(1000);
  expect(await statuses(Array.from({ length: 10 }, () => service.ask()))).toEqual({ 200: 10 });
});

test('an Authority that comes back is noticed for all, by one fetch, and no worker asks it itself', async () => {
  const authorityKey = await createKey('ES256');
  await using authority = await startFaultyAuthority([authorityKey]);
  authority.behave({ metadata: hangsUp });
  const client = await createProcessClient(authorityKey);
  await using service = await createServiceProcess({
    authority,
    env: { REGISTRY_TOKEN_SERVER__WORKERS: String(WORKERS) },
  });
  await service.start();
  const ask = () => {
    const opTok = client.opTok();
    return service.ask(opTok, client.proof(opTok));
  };
  for (let count = 0; count < 12; count += 1) expect((await ask()).status).toBe(503);
  expect(authority.requests).toHaveLength(1);
  authority.behave({});
  await untilStatus(200, 12_000, ask);
  for (let count = 0; count < 24; count += 1) expect((await ask()).status).toBe(200);
  const refreshed = await metricOf(
    service,
    'registry_token_authority_refresh_total{authority="default",result="success"}',
  );
  expect(refreshed).toBe(1);
});
