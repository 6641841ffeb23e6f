/** What a restart makes of proofs: used ones stay used, and no fresh one is lost to a client of RFC 9449. */
import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describeWith } from '../support/debian-parts.ts';
import { startFaultyAuthority } from '../support/faulty-authority.ts';
import { createKey } from '../support/keys.ts';
import { createMovableClock, type MovableClock } from '../support/movable-clock.ts';
import { until } from '../support/redis-groups.ts';
import {
  createProcessClient,
  createServiceProcess,
  type ProcessOptions,
  type Reply,
  type ServiceProcess,
} from '../support/service-process.ts';

setDefaultTimeout(90_000);

const authorityKey = await createKey('ES256');
const client = await createProcessClient(authorityKey);
const authority = await startFaultyAuthority([authorityKey]);
afterAll(() => authority[Symbol.asyncDispose]());

async function startService(options: Omit<ProcessOptions, 'authority'>): Promise<ServiceProcess> {
  const service = await createServiceProcess({ authority, ...options });
  await service.start();
  return service;
}

const kept = { senderConstraint: { replay: { statePath: 'replay.state' } } };

interface Sent {
  readonly opTok: string;
  readonly proof: string;
}

/** A proof dated `ahead` seconds from now, with this nonce. */
function make(ahead: number, nonce: string | null = null): Sent {
  const opTok = client.opTok();
  const claims = { iat: Date.now() / 1000 + ahead, ...(nonce === null ? {} : { nonce }) };
  return { opTok, proof: client.proof(opTok, claims) };
}

const send = (service: ServiceProcess, { opTok, proof }: Sent): Promise<Reply> => service.ask(opTok, proof);

/** Asks as a client of RFC 9449 does: again with the nonce that it is given. Returns all statuses. */
async function askWithNonce(service: ServiceProcess, ahead: number): Promise<number[]> {
  const first = await send(service, make(ahead));
  if (first.error !== 'use_dpop_nonce') return [first.status];
  return [first.status, (await send(service, make(ahead, first.headers.get('dpop-nonce')))).status];
}

describe('with statePath, over a planned restart', () => {
  test('a proof that was accepted with a nonce stays used', async () => {
    await using service = await startService({ clockSkew: 30, ...kept });
    const used = make(0, (await send(service, make(0))).headers.get('dpop-nonce'));
    expect((await send(service, used)).status).toBe(200);
    expect(await service.stop()).toBe(0);
    expect(existsSync(service.folder.at('replay.state'))).toBe(true);
    await service.start();
    expect(existsSync(service.folder.at('replay.state'))).toBe(false);
    expect((await send(service, used)).status).toBe(401);
    expect(await askWithNonce(service, 0)).toEqual([401, 200]);
    expect(service.output()).toContain('used proofs restored');
  });

  test('nothing is asked and nothing is forgotten once the doubt of the first start is over', async () => {
    await using service = await createServiceProcess({ authority, clockSkew: 2, ...kept });
    await service.start();
    await Bun.sleep(2500);
    const used = [make(-1), make(0), make(1.5)];
    for (const sent of used.slice(1)) expect((await send(service, sent)).status).toBe(200);
    expect(await service.stop()).toBe(0);
    await service.start();
    for (const sent of used.slice(1)) expect((await send(service, sent)).error).toBe('invalid_dpop_proof');
    for (const ahead of [-0.5, 0, 1.5]) expect((await send(service, make(ahead))).status).toBe(200);
  });

  test('with workers too', async () => {
    await using service = await createServiceProcess({
      authority,
      clockSkew: 2,
      env: { REGISTRY_TOKEN_SERVER__WORKERS: '2' },
      ...kept,
    });
    await service.start();
    await Bun.sleep(2500);
    const used = make(0);
    expect((await send(service, used)).status).toBe(200);
    expect(await service.stop()).toBe(0);
    await service.start();
    for (let connection = 0; connection < 8; connection += 1)
      expect((await send(service, used)).error).toBe('invalid_dpop_proof');
    expect((await send(service, make(0))).status).toBe(200);
  });
});

describe('after a crash, or without statePath', () => {
  test.each([
    ['with statePath', kept, '"fault":"there is none"'],
    ['without statePath', {}, ''],
  ])(
    'what cannot be told from a used proof needs a nonce, and that is enough: %s',
    async (_title, more, said) => {
      await using service = await startService({ clockSkew: 30, ...more });
      const ahead = make(20, (await send(service, make(0))).headers.get('dpop-nonce'));
      expect((await send(service, ahead)).status).toBe(200);
      await service.kill();
      await service.start();
      const again = await send(service, ahead);
      expect([again.status, again.error]).toEqual([401, 'use_dpop_nonce']);
      expect(again.text).toContain('restarted');
      expect(await askWithNonce(service, 0)).toEqual([401, 200]);
      expect(await askWithNonce(service, 20)).toEqual([401, 200]);
      expect(service.output()).toContain(said);
    },
  );

  test('that lasts for clockSkew, and beyond it for proofs dated before the start', async () => {
    await using service = await startService({ clockSkew: 2 });
    await service.stop();
    const before = make(-1);
    await service.start();
    expect((await send(service, make(0))).error).toBe('use_dpop_nonce');
    await Bun.sleep(2100);
    expect((await send(service, make(0))).status).toBe(200);
    expect((await send(service, before)).error).toBe('use_dpop_nonce');
    expect(await askWithNonce(service, -5)).toEqual([401, 200]);
  });

  test('a proof that was accepted under a larger clockSkew is not accepted again under a smaller one', async () => {
    await using service = await startService({ clockSkew: 60, ...kept });
    const used = make(10, (await send(service, make(0))).headers.get('dpop-nonce'));
    expect((await send(service, used)).status).toBe(200);
    await service.kill();
    const file = service.folder.at('registry-token.yaml');
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, text.replace('clockSkew: 60', 'clockSkew: 1'));
    expect(readFileSync(file, 'utf8')).not.toBe(text);
    await service.start();
    // Until its date is within the smaller clockSkew.
    await Bun.sleep(10_000);
    expect((await send(service, used)).status).toBe(401);
    expect(await askWithNonce(service, 0)).toEqual([401, 200]);
  });
});

describeWith(['faketime'], 'a clock that is set', () => {
  /** A service on this clock that has accepted a proof. */
  async function startUsed(clock: MovableClock, more: Partial<ProcessOptions> = {}) {
    const service = await startService({ clockSkew: 30, env: clock.environment, ...more });
    const used = make(0, (await send(service, make(0))).headers.get('dpop-nonce'));
    expect((await send(service, used)).status).toBe(200);
    return { service, used };
  }

  test.each([
    ['with statePath', kept],
    ['without statePath', {}],
    ['with workers', { server: { workers: 2 } }],
  ])(
    'ahead after a start at which it was behind, lets no proof in that was used before: %s',
    async (_title, more) => {
      await using clock = await createMovableClock();
      const { service, used } = await startUsed(clock, more);
      await using _ = service;
      await service.kill();
      clock.move(-600);
      await service.start();
      clock.move(0);
      for (let connection = 0; connection < 8; connection += 1)
        expect((await send(service, used)).error).toBe('use_dpop_nonce');
      expect(await askWithNonce(service, 0)).toEqual([401, 200]);
    },
  );

  test('back while the service runs, is told, and used proofs stay used', async () => {
    await using clock = await createMovableClock();
    const { service, used } = await startUsed(clock);
    await using _ = service;
    for (const offset of [-20, -50, 0]) {
      clock.move(offset);
      expect((await send(service, used)).error).toBe('invalid_dpop_proof');
    }
    clock.move(-20);
    await until('it is told', async () => service.output().includes('"message":"the clock was set back"'));
    expect((await send(service, used)).error).toBe('invalid_dpop_proof');
  });

  test('back over a planned restart, is told, and used proofs stay used', async () => {
    await using clock = await createMovableClock();
    const { service, used } = await startUsed(clock, kept);
    await using _ = service;
    expect(await service.stop()).toBe(0);
    clock.move(-20);
    await service.start();
    expect(service.output()).toMatch(
      /"seconds":1[5-9][.\d]*,"message":"the clock was set back since the last run"/,
    );
    for (const offset of [-20, -5, 0]) {
      clock.move(offset);
      expect((await send(service, used)).status).toBe(401);
    }
  });

  test('back after a crash, behind the start of the former process, is told', async () => {
    await using clock = await createMovableClock();
    const { service } = await startUsed(clock, kept);
    await using _ = service;
    await service.kill();
    clock.move(-100);
    await service.start();
    expect(service.output()).toContain('"message":"the clock was set back since the last run"');
  });
});

test('a folder that cannot be written ends the start with the place of the key', async () => {
  await using service = await createServiceProcess({
    authority,
    senderConstraint: { replay: { statePath: 'missing/replay.state' } },
  });
  expect(await service.startAndFail()).toBe(78);
  expect(service.output()).toMatch(
    /statePath: cannot write to the folder .*missing: no such file or folder \(ENOENT\)/,
  );
});
