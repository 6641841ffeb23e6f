/** Two hundred reloads of the real process while it is asked without a pause: by signal, and by its files alone. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { type ConfiguredService, startConfiguredService } from '../support/configured-service.ts';
import type { Section } from '../support/running-service.ts';
import { decodePart } from '../support/tokens.ts';

setDefaultTimeout(120_000);

const RELOADS = 200;
const CLIENTS = 4;
/** Some 2 MB in memory: a service that is kept after its reload shows. */
const REVOKED = Array.from({ length: 20_000 }, (_, index) => `LIC-${index}\n`).join('');
/** Bytes. Reading the configuration anew makes garbage, which is not collected at once. */
const ALLOWED_GROWTH = 200 * 1024 * 1024;

/** Two configurations that differ in all that a token shows. */
const versions = ['a', 'b'].map((name, index) => ({
  sections: {
    signing: {
      issuer: `issuer-${name}`,
      keyPath: 'registry-signing.pem',
      certificatePath: 'registry-signing.crt',
      lifetime: 100 * (index + 1),
    },
    registry: { realm: 'https://registry.example.com/token', grant: 'intersection' },
    plans: { [`plan-${name}`]: { repositories: [{ pattern: `of-${name}/*` }] } },
    defaultPlan: `plan-${name}`,
  } satisfies Section,
  whole: `issuer-${name} ${100 * (index + 1)} of-${name}/x`,
}));

/** What a token for the scopes of both says: issuer, lifetime and plan. */
async function describeToken(response: Response): Promise<string> {
  const body = (await response.json()) as { token?: string; expires_in?: number };
  if (response.status !== 200 || body.token === undefined) return `refused ${response.status}`;
  const { iss, access } = decodePart(body.token, 1);
  const names = (access as { name: string }[]).map(({ name }) => name);
  return `${iss} ${body.expires_in} ${names.join(' ')}`;
}

/** Asks without a pause; counts what the answers say, and the requests that had none. */
function startAsking(service: ConfiguredService) {
  const answers = new Map<string, number>();
  let ended = false;
  const loop = async () => {
    while (!ended) {
      const answer = await service
        .ask('repository:of-a/x:pull repository:of-b/x:pull')
        .then(describeToken, (cause) => `failed ${cause}`);
      answers.set(answer, (answers.get(answer) ?? 0) + 1);
    }
  };
  const running = Promise.all(Array.from({ length: CLIENTS }, loop));
  return {
    answers,
    end: async () => {
      ended = true;
      await running;
    },
  };
}

test('no request fails, every token is of one whole configuration, and the memory does not grow', async () => {
  const [a, b] = versions;
  if (a === undefined || b === undefined) throw new Error('There are two.');
  await using service = await startConfiguredService(a.sections);
  await Bun.write(service.folder.at('revoked.txt'), REVOKED);
  const asking = startAsking(service);
  const memory = () => service.metric('process_resident_memory_bytes');
  let warm = 0;
  for (let count = 1; count <= RELOADS; count += 1) {
    service.configure({ ...(count % 2 === 0 ? a : b).sections, revokedLicensesPath: 'revoked.txt' });
    service.child.signal('SIGHUP');
    await service.untilReloads('success', count);
    if (count === RELOADS / 4) warm = await memory();
  }
  const grown = (await memory()) - warm;

  await asking.end();
  expect([...asking.answers.keys()].sort()).toEqual([a.whole, b.whole]);
  for (const times of asking.answers.values()) expect(times).toBeGreaterThan(RELOADS / 4);
  expect(await service.reloads('failure')).toBe(0);
  expect(grown).toBeLessThan(ALLOWED_GROWTH);
});

test('a changed file is enough, and a mistake in it changes nothing but the count of failures', async () => {
  const [a, b] = versions;
  if (a === undefined || b === undefined) throw new Error('There are two.');
  await using service = await startConfiguredService(a.sections);
  const asking = startAsking(service);
  service.configure(b.sections);
  await service.untilReloads('success', 1);
  expect(await describeToken(await service.ask('repository:of-b/x:pull'))).toBe(b.whole);
  service.configure({ ...a.sections, anonymousPlan: 7, signing: { ...a.sections.signing, keyId: 7 } });
  await service.untilReloads('failure', 1);
  expect(await describeToken(await service.ask('repository:of-b/x:pull'))).toBe(b.whole);
  for (const key of ['anonymousPlan: must be text', 'signing.keyId: must be text'])
    expect(service.child.stderr()).toMatch(new RegExp(`registry-token\\.yaml:\\d+:\\d+: ${key}`));
  service.configure({ ...a.sections, server: { listen: '127.0.0.1:1' } });
  await service.untilReloads('failure', 2);
  expect(service.child.stderr()).toContain('server.listen: takes effect only after a restart');
  await asking.end();
  expect([...asking.answers.keys()].sort()).toEqual([a.whole, b.whole]);
});
