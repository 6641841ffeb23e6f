/** Stock clients through the credential helper: a certificate, a profile, and no credential on any disk. */
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
import { askProvider, readProviderConfiguration } from '../support/kubelet.ts';
import { type Front, fronts } from '../support/mtls-fronts.ts';
import { createMtlsParties, type MtlsParties } from '../support/mtls-parties.ts';
import { createTemporaryFolder, run } from '../support/processes.ts';
import { BINARY } from '../support/running-service.ts';

setDefaultTimeout(60_000);

for (const [name, startFront] of Object.entries(fronts))
  describeWith(
    ['docker-registry', 'openssl', ...(name === 'nginx' ? (['nginx'] as const) : [])],
    `through the credential helper, ${name}`,
    () => {
      let parties: MtlsParties;
      let front: Front;
      let alice: HelperUser;

      beforeAll(async () => {
        parties = await createMtlsParties();
        front = await startFront(parties);
        alice = await createHelperUser(parties, parties.alice, front.registryHost);
      });

      afterAll(async () => {
        await front?.[Symbol.asyncDispose]();
        await parties?.[Symbol.asyncDispose]();
      });

      const call = (action: string, input: string) =>
        run([alice.helper, action], { input, env: alice.environment });

      const opToksGiven = () => parties.authority.requestsTo('/token');

      for (const clientName of imageClientNames)
        describeWith([clientName], clientName, () => {
          test('pushes and pulls by one OpTok, with no credentials in its configuration', async () => {
            const client = createImageClient(clientName, parties.folder);
            const access: RegistryAccess = {
              authFile: alice.authFile,
              environment: alice.environment,
              certificateFolder: await parties.certificateFolder(parties.alice),
            };
            await call('erase', front.registryHost);
            const before = opToksGiven();
            const target = `${front.registryHost}/team-a/${clientName}:1`;
            const image = await parties.newImage();
            const pushed = await client.push(image, target, access);
            expect(pushed).toMatchObject({ exitCode: 0 });
            const pulled = await client.pull(target, access);
            expect(pulled).toMatchObject({ exitCode: 0, id: await imageId(image) });
            expect(opToksGiven()).toBe(before + 1);
            expect(JSON.parse(await readFile(alice.authFile, 'utf8'))).toEqual({
              credHelpers: { [front.registryHost]: 'registry-token' },
            });
          });
        });

      test('the link to the compiled program speaks the protocol, and its secret is bound to the certificate', async () => {
        const got = await call('get', `https://${front.registryHost}\n`);
        expect({ exitCode: got.exitCode, stderr: got.stderr }).toEqual({ exitCode: 0, stderr: '' });
        const { Secret: opTok, ...rest } = JSON.parse(got.stdout);
        expect(rest).toEqual({ ServerURL: `https://${front.registryHost}`, Username: 'registry-token' });
        expect(decodeJwt(opTok)).toMatchObject({
          sub: 'alice',
          cnf: { 'x5t#S256': parties.alice.thumbprint },
        });
        expect(await call('get', 'other.example.com')).toEqual({
          exitCode: 1,
          stdout: 'credentials not found in native keychain\n',
          stderr: '',
        });
        expect((await call('list', '')).stdout).toBe(`{"${front.registryHost}":"registry-token"}\n`);
        const byCommand = await run([BINARY, 'docker-credential', 'get', '--profiles', alice.profilesPath], {
          input: front.registryHost,
          env: alice.environment,
        });
        expect(JSON.parse(byCommand.stdout).Secret).toBe(opTok);
      });

      describeWith(['skopeo'], 'skopeo', () => {
        test('says what the Authority refused', async () => {
          const mallory = { ...parties.bob, name: 'mallory' };
          const { authFile, environment } = await createHelperUser(parties, mallory, front.registryHost);
          const certificateFolder = await parties.certificateFolder(parties.bob);
          const skopeo = createImageClient('skopeo', parties.folder);
          const access = { authFile, environment, certificateFolder };
          const { id, stderr } = await skopeo.pull(`${front.registryHost}/team-a/skopeo:1`, access);
          expect(id).toBeNull();
          expect(stderr).toContain('answered 401 invalid_client');
          expect(stderr).toContain('compare the client ID and its certificate with those at the Authority');
        });
      });

      describeWith(['kubelet-types', 'skopeo'], 'the kubelet', () => {
        test('is given what pulls the image, as the sample has it ask', async () => {
          await using folder = await createTemporaryFolder();
          const configuration = await readProviderConfiguration('without');
          const skopeo = createImageClient('skopeo', folder);
          const certificateFolder = await parties.certificateFolder(parties.alice);
          const target = `${front.registryHost}/team-a/node:1`;
          const image = await parties.newImage();
          const { auth } = await askProvider(configuration, alice.profilesPath, { image: target });
          const { username, password } = auth?.[front.registryHost] ?? {};
          const access = { credentials: `${username}:${password}`, certificateFolder };
          expect(await skopeo.push(image, target, access)).toMatchObject({ exitCode: 0 });
          expect(await skopeo.pull(target, access)).toMatchObject({ id: await imageId(image) });
        });
      });
    },
  );
