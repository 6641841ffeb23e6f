/** Reloads and requests at the same time, and what a reload leaves in use; `reload.test.ts` has what it changes. */
import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { copyFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { watchFiles } from '../../src/assemble/files.ts';
import type { Runtime } from '../../src/assemble/runtime.ts';
import { startFaultyAuthority, staysSilent } from '../support/faulty-authority.ts';
import { createKey } from '../support/keys.ts';
import { noCertificate } from '../support/service.ts';
import { decodePart, REALM, SERVICE } from '../support/tokens.ts';
import { createInstallation, type Installation, pemOf, type Sections } from './installation.ts';

setDefaultTimeout(30_000);

const site = await createInstallation();
afterAll(() => site[Symbol.asyncDispose]());

interface Whole {
  readonly issuer: unknown;
  readonly seconds: unknown;
  readonly scopes: unknown;
}

/** Two configurations that differ in all that a token shows. */
const versions = {
  a: { issuer: 'a', lifetime: 100, pattern: 'of-a/*', scope: 'repository:of-a/x:pull' },
  b: { issuer: 'b', lifetime: 200, pattern: 'of-b/*', scope: 'repository:of-b/x:pull' },
};

function configureVersion({ issuer, lifetime, pattern }: (typeof versions)['a']): void {
  site.configure({
    signing: { issuer, lifetime },
    registry: { grant: 'intersection' },
    plans: { community: { repositories: [{ pattern }] } },
  });
}

/** What the token for the scopes of both versions says. */
async function askForBoth(runtime: Runtime): Promise<Whole> {
  const query = new URLSearchParams({ service: SERVICE });
  for (const { scope } of Object.values(versions)) query.append('scope', scope);
  const opTok = site.opTok();
  const headers = { Authorization: `DPoP ${opTok}`, DPoP: site.proof(opTok) };
  const response = await runtime.handle(new Request(`${REALM}?${query}`, { headers }), noCertificate);
  const body = (await response.json()) as { token?: string; expires_in?: number };
  const { iss, access } = decodePart(body.token ?? '', 1);
  return {
    issuer: iss,
    seconds: body.expires_in,
    scopes: (access as { name: string }[]).map(({ name }) => name),
  };
}

const wholes: Whole[] = [
  { issuer: 'a', seconds: 100, scopes: ['of-a/x'] },
  { issuer: 'b', seconds: 200, scopes: ['of-b/x'] },
];

async function count(runtime: Runtime, result: 'success' | 'failure'): Promise<number> {
  const response = await runtime.handle(new Request('http://x/metrics'), noCertificate);
  const line = new RegExp(`registry_token_config_reload_total{result="${result}"} (\\d+)`);
  return Number(line.exec(await response.text())?.[1]);
}

describe('requests during reloads', () => {
  test('are each answered by one whole configuration, and those after it by the new one', async () => {
    configureVersion(versions.a);
    const runtime = await site.open();
    const answers: Whole[] = [];
    for (let round = 0; round < 40; round += 1) {
      const next = round % 2 === 0 ? versions.b : versions.a;
      configureVersion(next);
      const asked = Array.from({ length: 5 }, () => askForBoth(runtime));
      const reloaded = runtime.reload();
      const during = Array.from({ length: 5 }, () => askForBoth(runtime));
      expect(await reloaded).toEqual([]);
      answers.push(...(await Promise.all([...asked, ...during])));
      expect((await askForBoth(runtime)).issuer).toBe(next.issuer);
    }
    for (const answer of answers) expect(wholes).toContainEqual(answer);
  });
});

describe('reloads at the same time', () => {
  test('end with the newest configuration, however long an older one takes', async () => {
    configureVersion(versions.a);
    const runtime = await site.open();
    for (let round = 0; round < 5; round += 1) {
      site.configure({ signing: { additionalKeys: Array(200).fill('signing.pem') } });
      const slow = runtime.reload();
      await Promise.resolve();
      configureVersion(versions.b);
      await Promise.all([slow, runtime.reload()]);
      expect((await askForBoth(runtime)).issuer).toBe('b');
    }
  });

  test('that are asked for while one is under way are one', async () => {
    configureVersion(versions.a);
    const runtime = await site.open();
    const first = runtime.reload();
    await Promise.resolve();
    await Promise.resolve();
    const others = Array.from({ length: 50 }, () => runtime.reload());
    await Promise.all([first, ...others]);
    expect(await count(runtime, 'success')).toBeLessThanOrEqual(2);
  });
});

test.each<[string, Sections]>([
  ['a file', {}],
  ['an Authority over HTTP', { authority: { jwksPath: undefined, metadataUrl: 'http://127.0.0.1:1/' } }],
])('a reload leaves nothing of the service before it in memory, with keys of %s', async (_, sections) => {
  site.configure(sections);
  const runtime = await site.open();
  const replaced: WeakRef<object>[] = [];
  for (let round = 0; round < 20; round += 1) {
    replaced.push(new WeakRef(runtime.service));
    expect(await runtime.reload()).toEqual([]);
  }
  await Bun.sleep(1);
  Bun.gc(true);
  await Bun.sleep(1);
  Bun.gc(true);
  expect(replaced.filter((service) => service.deref() !== undefined).length).toBeLessThan(5);
});

describe('the keys of an Authority over HTTP', () => {
  const remote = { jwksPath: undefined, metadataUrl: 'http://127.0.0.1:1/metadata' };
  const open = async () => {
    site.configure({ authority: remote });
    return site.open();
  };

  test('stay in use, with their age, where the Authority is the same, and are fetched anew', async () => {
    await using authority = await startFaultyAuthority([await createKey('ES256')]);
    const settings = { jwksPath: undefined, metadataUrl: authority.metadataUrl };
    site.configure({ authority: settings });
    const runtime = await site.open();
    await runtime.open();
    const before = runtime.service.authorityKeys.get('default')?.fetched;
    expect(before?.json).toBeString();
    authority.behave({ metadata: staysSilent });
    site.configure({ authority: { ...settings, keysMaxAge: '20s' } });
    expect(await runtime.reload()).toEqual([]);
    const after = runtime.service.authorityKeys.get('default');
    expect(after?.fetched).toBe(before);
    expect(authority.fetches()).toBe(1);
    authority.behave({});
    await runtime.close();
  });

  test.each([
    ['that is good', {}],
    ['that has a mistake', { signing: { lifetime: 'never' } }],
  ])('are fetched at once at a reload %s', async (_, change) => {
    await using authority = await startFaultyAuthority([await createKey('ES256')]);
    const sections = { authority: { jwksPath: undefined, metadataUrl: authority.metadataUrl } };
    site.configure(sections);
    const runtime = await site.open();
    await runtime.open();
    expect(authority.fetches()).toBe(1);
    site.configure({ ...sections, ...change });
    await runtime.reload();
    while (authority.fetches() < 2) await Bun.sleep(5);
    await runtime.close();
  });

  test.each<[string, Sections]>([
    ['the issuer', { ...remote, issuer: 'https://other.example.com' }],
    ['the metadata', { ...remote, metadataUrl: 'http://127.0.0.1:2/metadata' }],
    ['the trusted certificate authorities', { ...remote, caPath: 'ca.pem' }],
    ['the file', { jwksPath: 'jwks.json' }],
  ])('are others where %s changes', async (_, authority) => {
    const runtime = await open();
    const before = runtime.service.authorityKeys.get('default');
    site.write('ca.pem', '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n');
    site.configure({ authority });
    expect(await runtime.reload()).toEqual([]);
    expect(runtime.service.authorityKeys.get('default')).not.toBe(before);
  });
});

/** A service that reloads by itself, as `serve` does; what `change` does to its files counts so many reloads. */
async function countReloads(
  prepare: (own: Installation) => void,
  change: (own: Installation) => Promise<void>,
): Promise<{ readonly success: number; readonly failure: number; readonly runtime: Runtime }> {
  await using own = await createInstallation();
  prepare(own);
  const runtime = await own.open();
  const end = watchFiles(
    () => runtime.files,
    () => void runtime.reload(),
  );
  try {
    await change(own);
    await Bun.sleep(SETTLED_MS);
  } finally {
    end();
  }
  return { success: await count(runtime, 'success'), failure: await count(runtime, 'failure'), runtime };
}

/** Three looks and some. */
const SETTLED_MS = 3300;
const nothing = () => {};
const next = await createKey('ES256');

describe('a running service', () => {
  test.concurrent('reads a file that is written bit by bit once, when it is whole', async () => {
    const text = pemOf(next.privateKey);
    const { success, failure, runtime } = await countReloads(nothing, async ({ folder }) => {
      for (let part = 1; part <= 9; part += 1) {
        writeFileSync(folder.at('signing.pem'), text.slice(0, Math.ceil((text.length * part) / 9)));
        await Bun.sleep(300);
      }
    });
    expect({ success, failure }).toEqual({ success: 1, failure: 0 });
    expect(runtime.service.signingKey.thumbprint).toBe(next.thumbprint);
  });

  test.concurrent('takes a file that was gone and is back, and meanwhile fails once', async () => {
    const { success, failure, runtime } = await countReloads(nothing, async ({ folder }) => {
      copyFileSync(folder.at('jwks.json'), folder.at('copy'));
      rmSync(folder.at('jwks.json'));
      await Bun.sleep(SETTLED_MS + 1000);
      renameSync(folder.at('copy'), folder.at('jwks.json'));
    });
    expect({ success, failure }).toEqual({ success: 1, failure: 1 });
    expect(runtime.files.size).toBe(3);
  });

  test.concurrent('waits for a file that its new configuration names and that comes later', async () => {
    const { success, failure, runtime } = await countReloads(nothing, async (own) => {
      own.configure({ signing: { keyPath: 'later.pem' } });
      await Bun.sleep(SETTLED_MS + 1000);
      own.write('later.pem', pemOf(next.privateKey));
    });
    expect({ success, failure }).toEqual({ success: 1, failure: 1 });
    expect(runtime.service.signingKey.thumbprint).toBe(next.thumbprint);
  });

  test.concurrent('forgets the files that it no longer uses', async () => {
    const { success, failure } = await countReloads(nothing, async (own) => {
      own.write('other.pem', pemOf(next.privateKey));
      own.configure({ signing: { keyPath: 'other.pem' } });
      await Bun.sleep(SETTLED_MS);
      rmSync(own.folder.at('signing.pem'));
    });
    expect({ success, failure }).toEqual({ success: 1, failure: 0 });
  });

  test.concurrent('tells a mistake once, and not at every look', async () => {
    const { success, failure } = await countReloads(nothing, async (own) => {
      own.configure({ signing: { lifetime: 'x' } });
      await Bun.sleep(SETTLED_MS);
    });
    expect({ success, failure }).toEqual({ success: 0, failure: 1 });
  });

  test.concurrent('leaves a change that a signal has brought in alone', async () => {
    const { success } = await countReloads(nothing, async () => {});
    expect(success).toBe(0);
    await using own = await createInstallation();
    const runtime = await own.open();
    own.configure({ signing: { lifetime: 60 } });
    await runtime.reload();
    let noticed = 0;
    const end = watchFiles(
      () => runtime.files,
      () => {
        noticed += 1;
      },
    );
    await Bun.sleep(SETTLED_MS);
    end();
    expect(noticed).toBe(0);
  });
});

test('a clock that is set back is told, and one that goes on is not', async () => {
  configureVersion(versions.a);
  const runtime = await site.open();
  const told = () => site.logLines.filter(({ message }) => message === 'the clock was set back').length;
  const before = told();
  const { now } = site.clock;
  runtime.watchClock();
  site.clock.now = now + 20;
  runtime.watchClock();
  expect(told()).toBe(before);
  site.clock.now = now + 10;
  site.clock.setAhead = -10;
  runtime.watchClock();
  expect(told()).toBe(before + 1);
  Object.assign(site.clock, { now, setAhead: 0 });
});
