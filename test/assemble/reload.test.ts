/** A reload replaces everything at once; one that fails keeps everything as it was and says why. */
import { afterAll, describe, expect, test } from 'bun:test';
import type { Runtime } from '../../src/assemble/runtime.ts';
import { formatMistake } from '../../src/document/mistakes.ts';
import { createKey } from '../support/keys.ts';
import { noCertificate } from '../support/service.ts';
import { SERVICE } from '../support/tokens.ts';
import { createInstallation, pemOf, type Sections } from './installation.ts';

const site = await createInstallation();
afterAll(() => site[Symbol.asyncDispose]());

const pullOf = (name: string) => `repository:${name}:pull`;

async function ask(runtime: Runtime, scope = '', proof?: string, opTok = site.opTok()): Promise<number> {
  const query = new URLSearchParams({ service: SERVICE, scope });
  const headers = { Authorization: `DPoP ${opTok}`, DPoP: proof ?? site.proof(opTok) };
  return (await runtime.handle(new Request(`http://x/token?${query}`, { headers }), noCertificate)).status;
}

async function scrape(runtime: Runtime, line: RegExp): Promise<string | undefined> {
  const response = await runtime.handle(new Request('http://x/metrics'), noCertificate);
  return line.exec(await response.text())?.[0];
}

async function reloadWith(runtime: Runtime, sections: Sections): Promise<string[]> {
  site.configure(sections);
  return (await runtime.reload()).map(formatMistake);
}

describe('a reload', () => {
  test('puts the new plans in force', async () => {
    site.configure();
    const runtime = await site.open();
    expect(await ask(runtime, pullOf('team/a'))).toBe(403);
    expect(
      await reloadWith(runtime, { plans: { community: { repositories: [{ pattern: 'team/*' }] } } }),
    ).toEqual([]);
    expect([await ask(runtime, pullOf('team/a')), await ask(runtime, pullOf('public/a'))]).toEqual([
      200, 403,
    ]);
  });

  test('reads the key files anew', async () => {
    site.configure();
    const runtime = await site.open();
    const before = runtime.service.signingKey.thumbprint;
    const next = await createKey('ES384');
    site.write('signing.pem', pemOf(next.privateKey));
    expect(await runtime.reload()).toEqual([]);
    expect(runtime.service.signingKey).toMatchObject({ thumbprint: next.thumbprint, algorithm: 'ES384' });
    expect(before).not.toBe(next.thumbprint);
  });

  test('believes the keys that the Authority has now, and no others', async () => {
    site.configure();
    const runtime = await site.open();
    expect(await ask(runtime)).toBe(200);
    const other = await createKey('ES256');
    const known = JSON.stringify({
      keys: [{ ...site.authorityKey.publicJwk, kid: site.authorityKey.thumbprint }],
    });
    site.write('jwks.json', JSON.stringify({ keys: [other.publicJwk] }));
    expect(await runtime.reload()).toEqual([]);
    expect(await ask(runtime)).toBe(401);
    site.write('jwks.json', known);
    expect(await runtime.reload()).toEqual([]);
    expect(await ask(runtime)).toBe(200);
  });

  test('remembers the proofs that were used before it', async () => {
    site.configure();
    const runtime = await site.open();
    const opTok = site.opTok();
    const proof = site.proof(opTok);
    expect(await ask(runtime, '', proof, opTok)).toBe(200);
    expect(await reloadWith(runtime, { signing: { lifetime: '1m' } })).toEqual([]);
    expect(await ask(runtime, '', proof, opTok)).toBe(401);
    expect(await ask(runtime)).toBe(200);
  });

  test('that raises maxAge lets no used proof in again, dated ahead or not, and refuses no fresh one', async () => {
    const authority = { clockSkew: '30s' };
    site.configure({ authority, senderConstraint: { dpop: { maxAge: '60s' } } });
    const runtime = await site.open();
    // Until then, proofs need a nonce.
    site.clock.now += 30;
    const started = site.clock.now;
    const opTok = site.opTok({ claims: { exp: started + 3600 } });
    const ahead = site.proof(opTok, { claims: { iat: started + 25 } });
    const unused = site.proof(opTok);
    expect(await ask(runtime, '', ahead, opTok)).toBe(200);
    site.clock.now = started + 10;
    expect(await reloadWith(runtime, { authority, senderConstraint: { dpop: { maxAge: '5m' } } })).toEqual(
      [],
    );
    expect(await ask(runtime, '', unused, opTok)).toBe(200);
    for (const later of [11, 60, 117, 300]) {
      site.clock.now = started + later;
      expect(await ask(runtime, '', ahead, opTok)).toBe(401);
      expect(await ask(runtime, '', site.proof(opTok), opTok)).toBe(200);
    }
    site.clock.now = started;
  });

  test('that raises clockSkew is known to the process after a crash, which may have a smaller one', async () => {
    const senderConstraint = { replay: { statePath: 'replay.state' } };
    const withSkew = (clockSkew: number) => ({ authority: { clockSkew }, senderConstraint });
    site.configure(withSkew(5));
    const runtime = await site.open();
    for (const clockSkew of [60, 10]) expect(await reloadWith(runtime, withSkew(clockSkew))).toEqual([]);
    site.configure(withSkew(5));
    const { replayStore } = (await site.open()).dependencies;
    expect(replayStore.rememberedSince).toBe(site.clock.now + 60);
  });

  test('puts a new rate in force, and counts what was taken before it', async () => {
    const limited = (perSubject: string) => ({ limits: { perSubject } });
    const times = async (runtime: Runtime, count: number) => {
      const statuses: number[] = [];
      for (let asked = 0; asked < count; asked += 1) statuses.push(await ask(runtime));
      return statuses;
    };
    site.configure(limited('3/m'));
    const runtime = await site.open();
    expect(await times(runtime, 4)).toEqual([200, 200, 200, 429]);
    expect(await reloadWith(runtime, { plans: { fresh: {} }, ...limited('3/m') })).toEqual([]);
    expect(await ask(runtime)).toBe(429);
    expect(await reloadWith(runtime, limited('6/m'))).toEqual([]);
    site.clock.now += 20;
    expect(await times(runtime, 3)).toEqual([200, 200, 429]);
    expect(await reloadWith(runtime, {})).toEqual([]);
    expect(await times(runtime, 10)).toEqual(Array(10).fill(200));
    expect(await reloadWith(runtime, limited('6'))).toEqual([
      expect.stringContaining('limits.perSubject: must be a number of requests from 1 to 10000'),
    ]);
    expect(await ask(runtime)).toBe(200);
    site.clock.now -= 20;
  });

  test('is counted by its result', async () => {
    site.configure();
    const runtime = await site.open();
    await runtime.reload();
    await reloadWith(runtime, { signing: { lifetime: 'x' } });
    await reloadWith(runtime, { signing: { lifetime: 'y' } });
    const count = (result: string) =>
      scrape(runtime, new RegExp(`registry_token_config_reload_total{result="${result}"} \\d+`));
    expect([await count('success'), await count('failure')].map((line) => line?.at(-1))).toEqual(['1', '2']);
  });

  test('announces the new plans in the metrics', async () => {
    site.configure();
    const runtime = await site.open();
    await reloadWith(runtime, { plans: { fresh: {} } });
    expect(await scrape(runtime, /registry_token_issued_total{plan="fresh"} 0/)).toBeDefined();
  });
});

describe('a reload that fails', () => {
  test.each<[string, Sections, string]>([
    ['a value', { signing: { lifetime: '2h' } }, 'signing.lifetime: must be a duration'],
    ['a missing file', { signing: { keyPath: 'nothing.pem' } }, 'signing.keyPath: '],
    ['a plan', { defaultPlan: 'nothing' }, 'defaultPlan: must be the name of a plan'],
    [
      'what is not safe',
      { registry: { realm: 'https://a.example/metrics' } },
      'registry.realm: /metrics is reserved',
    ],
    ['an address', { server: { listen: '127.0.0.1:1' } }, 'server.listen: takes effect only after a restart'],
    [
      'a store',
      { senderConstraint: { replay: { capacity: 2000 } } },
      'senderConstraint.replay: takes effect only after a restart',
    ],
    ['a log', { logging: { level: 'debug' } }, 'logging: takes effect only after a restart'],
  ])('for %s keeps everything and says where', async (_, sections, message) => {
    site.configure();
    const runtime = await site.open();
    const before = runtime.service;
    const told = await reloadWith(runtime, { anonymousPlan: 'community', ...sections });
    expect(told.join('\n')).toInclude(`: ${message}`);
    for (const line of told) expect(line).toMatch(/registry-token\.yaml:\d+:\d+: /);
    expect(runtime.service).toBe(before);
    expect(await ask(runtime)).toBe(200);
  });

  test('for its syntax, or because the file is gone, keeps everything too', async () => {
    site.configure();
    const runtime = await site.open();
    site.write('registry-token.yaml', 'server: [');
    expect((await runtime.reload()).length).toBeGreaterThan(0);
    const { rmSync } = await import('node:fs');
    rmSync(site.folder.at('registry-token.yaml'));
    expect((await runtime.reload()).map(({ message }) => message)).toEqual([
      'cannot be read: no such file (ENOENT)',
    ]);
    expect(await ask(runtime)).toBe(200);
  });

  test('does not stand in the way of the next', async () => {
    site.configure();
    const runtime = await site.open();
    expect(await reloadWith(runtime, { signing: { lifetime: 'x' } })).toHaveLength(1);
    expect(await reloadWith(runtime, { signing: { lifetime: '1m' } })).toEqual([]);
    expect(runtime.service.loaded.configuration.signing.lifetime).toBe(60);
  });
});

test('every file that was read is one that is watched', async () => {
  site.write('password.txt', 'x\n');
  site.write('revoked.txt', '');
  site.write('signing.pem', pemOf(site.clientKey.privateKey));
  site.configure({
    signing: { keyPasswordPath: 'password.txt', additionalKeys: ['signing.pem'] },
    revokedLicensesPath: 'revoked.txt',
  });
  const { files } = (await site.open()).service;
  const expected = ['registry-token.yaml', 'jwks.json', 'signing.pem', 'password.txt', 'revoked.txt'];
  expect([...files].sort()).toEqual(expected.map((name) => site.folder.at(name)).sort());
});
