/**
 * The credential helper twice, longer apart than an OpTok is good for: Authority, helper and service read one clock, which
 * the test moves. The clients and the registry, being Go programs, have the clock on the wall.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { readFile } from 'node:fs/promises';
import { decodeJwt } from 'jose';
import { createHelperUser, type HelperUser } from '../support/credential-helper.ts';
import { describeWith } from '../support/debian-parts.ts';
import {
  createImageClient,
  imageClientNames,
  imageId,
  type RegistryAccess,
} from '../support/image-clients.ts';
import { createMovableClock, type MovableClock } from '../support/movable-clock.ts';
import { type Front, fronts } from '../support/mtls-fronts.ts';
import { createMtlsParties, type MtlsParties } from '../support/mtls-parties.ts';
import { run, wallClock } from '../support/processes.ts';

setDefaultTimeout(60_000);

/** Seconds: of an OpTok, and a minute more, which is beyond the service's clockSkew. */
const VALIDITY = 600;
const APART = VALIDITY + 60;

describeWith(['faketime', 'docker-registry', 'nginx', 'openssl'], 'through the credential helper', () => {
  let clock: MovableClock;
  let parties: MtlsParties;
  let front: Front;
  let alice: HelperUser;
  let certificateFolder: string;

  beforeAll(async () => {
    clock = await createMovableClock();
    clock.move(-APART);
    parties = await createMtlsParties(clock);
    front = await fronts.nginx(parties);
    alice = await createHelperUser(parties, parties.alice, front.registryHost);
    certificateFolder = await parties.certificateFolder(parties.alice);
  });

  afterAll(async () => {
    for (const part of [front, parties, clock]) await part?.[Symbol.asyncDispose]();
  });

  /** The one OpTok that the helper keeps. */
  const keptOpTok = async (): Promise<string> => {
    const [file = '', ...others] = await alice.keptFiles();
    expect(others).toEqual([]);
    return JSON.parse(await readFile(file, 'utf8')).accessToken;
  };

  const lastDecision = async () => {
    const lines = (await front.serviceLog()).split('\n');
    return JSON.parse(lines.findLast((line) => line.includes('"durationMs"')) ?? '{}');
  };

  for (const name of imageClientNames)
    describeWith([name], name, () => {
      test('pulls again when its first OpTok has expired, by a second of the Authority', async () => {
        clock.move(-APART);
        await run([alice.helper, 'erase'], { input: front.registryHost, env: alice.environment });
        const opToksGiven = () => parties.authority.requestsTo('/token');
        const before = opToksGiven();
        const client = createImageClient(name, parties.folder);
        const access: RegistryAccess = {
          authFile: alice.authFile,
          environment: alice.environment,
          certificateFolder,
        };
        const target = `${front.registryHost}/team-a/${name}:1`;
        const image = await parties.newImage();
        expect(await client.push(image, target, access)).toMatchObject({ exitCode: 0 });
        expect(await client.pull(target, access)).toMatchObject({ id: await imageId(image) });
        expect(opToksGiven()).toBe(before + 1);
        const first = await keptOpTok();
        const { iat = 0, exp = 0 } = decodeJwt(first);
        expect(exp - iat).toBe(VALIDITY);
        expect(exp).toBeLessThan(wallClock() - 30);

        clock.move(0);
        const byFirst = { credentials: `any:${first}`, certificateFolder };
        expect(await client.pull(target, byFirst)).toMatchObject({ id: null });
        expect((await lastDecision()).reason).toBe('token-expired');

        expect(await client.pull(target, access)).toMatchObject({ id: await imageId(image) });
        expect(opToksGiven()).toBe(before + 2);
        const second = decodeJwt(await keptOpTok());
        expect(second.iat).toBeGreaterThanOrEqual(iat + APART);
        expect(second.exp).toBeGreaterThan(wallClock() + VALIDITY - 60);

        expect(JSON.parse(await readFile(alice.authFile, 'utf8'))).toEqual({
          credHelpers: { [front.registryHost]: 'registry-token' },
        });
      });
    });
});
