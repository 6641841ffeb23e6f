/** oras, regctl and helm with their client certificate, the OpTok coming from the helper: realms on one host and on two. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { readFile } from 'node:fs/promises';
import { createHelperUser, type HelperUser } from '../support/credential-helper.ts';
import { describeWith } from '../support/debian-parts.ts';
import { createGoClient } from '../support/go-clients.ts';
import { createHelm } from '../support/helm.ts';
import { imageId, type RegistryAccess } from '../support/image-clients.ts';
import { type Front, fronts, startBehindProxy } from '../support/mtls-fronts.ts';
import { createMtlsParties, type MtlsParties } from '../support/mtls-parties.ts';
import { createTemporaryFolder } from '../support/processes.ts';
import { runBinary } from '../support/running-service.ts';

setDefaultTimeout(60_000);

const starts = {
  'its own TLS listener': fronts['its own TLS listener'],
  'nginx with registry 3.1': (parties: MtlsParties) =>
    startBehindProxy(parties, 'nginx', { program: 'registry-3.1' }),
} as const;

for (const [name, startFront] of Object.entries(starts))
  describeWith(['docker-registry', 'nginx', 'openssl', 'registry-3.1'], `Go clients before ${name}`, () => {
    let parties: MtlsParties;
    let front: Front;
    let alice: HelperUser;
    let access: RegistryAccess;

    beforeAll(async () => {
      parties = await createMtlsParties();
      front = await startFront(parties);
      alice = await createHelperUser(parties, parties.alice, front.registryHost);
      access = {
        authFile: alice.authFile,
        environment: alice.environment,
        certificateFolder: await parties.certificateFolder(parties.alice),
      };
    });

    afterAll(async () => {
      await front?.[Symbol.asyncDispose]();
      await parties?.[Symbol.asyncDispose]();
    });

    for (const clientName of ['oras', 'regctl'] as const)
      describeWith([clientName], clientName, () => {
        // oras shows it to a realm at the registry's own host and port alone: what nginx is for.
        const isServed = clientName !== 'oras' || name.startsWith('nginx');
        const what = isServed
          ? 'pushes and pulls'
          : 'does not show its certificate to the realm of another port';
        test(`${what}, by the OpTok of the helper`, async () => {
          await using folder = await createTemporaryFolder();
          const client = createGoClient(clientName, folder);
          const image = await parties.newImage();
          const target = `${front.registryHost}/team-a/${clientName}:1`;
          const before = (await front.serviceLog()).length;
          const pushed = await client.push(image, target, access);
          if (!isServed) {
            expect(pushed.exitCode).not.toBe(0);
            expect((await front.serviceLog()).slice(before)).toContain('"reason":"certificate-missing"');
            return;
          }
          expect(pushed).toMatchObject({ exitCode: 0 });
          expect(await client.pull(target, access)).toMatchObject({ id: await imageId(image) });
        });
      });

    describeWith(['crane'], 'crane', () => {
      // A realm by its name: one by a private address, 127.0.0.1 too, it refuses whatever the token.
      test('pushes and pulls by a token that --docker-config stored', async () => {
        await using home = await createTemporaryFolder();
        const profile = ['--profile', 'alice', '--profiles', alice.profilesPath];
        const scope = ['--scope', 'repository:team-a/crane:pull,push'];
        const stored = await runBinary([
          'token',
          ...profile,
          ...scope,
          '--docker-config',
          home.at('config.json'),
        ]);
        expect(stored).toMatchObject({ exitCode: 0, stdout: '' });
        const crane = createGoClient('crane', home, {
          DOCKER_CONFIG: home.path,
          SSL_CERT_FILE: parties.certificateAuthority.certificatePath,
        });
        const image = await parties.newImage();
        const target = `${front.registryHost}/team-a/crane:1`;
        expect(await crane.push(image, target, 'plain-http')).toMatchObject({ exitCode: 0 });
        expect(await crane.pull(target, 'plain-http')).toMatchObject({ id: await imageId(image) });
      });
    });

    describeWith(['helm'], 'helm', () => {
      test('pushes a chart and pulls it, by the OpTok of the helper', async () => {
        await using folder = await createTemporaryFolder();
        const helm = createHelm(folder);
        const archive = await helm.makeChart('chart');
        const pushed = await helm.push(archive, `${front.registryHost}/team-a`, access);
        expect(pushed).toMatchObject({ exitCode: 0 });
        const pulled = await helm.pull(`${front.registryHost}/team-a/chart`, access);
        expect(pulled).toMatchObject({ exitCode: 0, archive: await readFile(archive) });
      });
    });
  });
