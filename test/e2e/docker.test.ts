/**
 * Docker's own engine with its graph driver: by a password, by the helper, by a stored token, and by the agent. `DOCKERD`
 * names another engine than Debian's.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exportPKCS8 } from 'jose';
import { createHelperUser, type HelperUser } from '../support/credential-helper.ts';
import { describeAsRoot } from '../support/debian-parts.ts';
import { addAddress, type DockerEngine, startDockerEngine } from '../support/docker-engine.ts';
import { imageId } from '../support/image-clients.ts';
import { blobPath } from '../support/images.ts';
import { type Front, startBehindProxy } from '../support/mtls-fronts.ts';
import { createMtlsParties, type MtlsParties, obtainBoundOpTok } from '../support/mtls-parties.ts';
import { type Child, type Finished, findFreePort, start } from '../support/processes.ts';
import { runBinary, serviceCommand } from '../support/running-service.ts';

setDefaultTimeout(120_000);

describeAsRoot(
  ['docker', 'dockerd', 'docker-registry', 'ip', 'nginx', 'openssl', 'skopeo'],
  'dockerd',
  () => {
    const parts = new AsyncDisposableStack();
    let parties: MtlsParties;
    let front: Front;
    let engine: DockerEngine;
    let user: HelperUser;

    beforeAll(async () => {
      parties = parts.use(await createMtlsParties());
      const { address: host } = parts.use(await addAddress());
      const server = await parties.certificateAuthority.issue('docker-server', {
        extensions: [`subjectAltName=IP:${host}`],
      });
      front = parts.use(await startBehindProxy(parties, 'nginx', { address: { host, server } }));
      engine = parts.use(await startDockerEngine(process.env.DOCKERD));
      user = await createHelperUser(parties, parties.alice, front.registryHost);
    });

    afterAll(() => parts.disposeAsync());

    const trust = (identity: MtlsParties['alice'] | null) =>
      engine.trust(front.registryHost, parties.certificateAuthority.certificatePath, identity);

    /** A folder for DOCKER_CONFIG with this `config.json`. */
    const configurationWith = async (name: string, content: string) => {
      const path = parties.folder.at(`docker-${name}`);
      await mkdir(path, { recursive: true });
      await writeFile(join(path, 'config.json'), content);
      return path;
    };

    type Docker = (...words: readonly string[]) => Promise<Finished>;

    /** Pushes a new image, removes it, and pulls it. */
    async function expectPushAndPull(docker: Docker, target: string): Promise<void> {
      const image = await parties.newImage();
      await engine.load(image, target);
      expect(await docker('push', target)).toMatchObject({ exitCode: 0 });
      expect(await docker('rmi', target)).toMatchObject({ exitCode: 0 });
      expect(await docker('pull', target)).toMatchObject({ exitCode: 0 });
      const inspected = await docker('image', 'inspect', '--format', '{{json .RootFS.Layers}}', target);
      expect(JSON.parse(inspected.stdout)).toEqual(await layersOf(image));
    }

    const helperUser = async (): Promise<Docker> => {
      const configuration = await configurationWith('helper', await readFile(user.authFile, 'utf8'));
      return (...words) => engine.docker(words, configuration, { env: user.environment });
    };

    test('logs in with an OpTok as the password and the certificate of certs.d, and not with another one', async () => {
      const opTok = await obtainBoundOpTok(parties, parties.alice);
      const configuration = await configurationWith('login', '{}');
      const words = ['login', '--username', 'any', '--password-stdin', front.registryHost];
      await trust(parties.alice);
      const done = await engine.docker(words, configuration, { input: opTok });
      expect(done).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('Login Succeeded') });
      for (const identity of [parties.bob, null]) {
        await trust(identity);
        const refused = await engine.docker(words, configuration, { input: opTok });
        expect(refused.exitCode).toBe(1);
        expect(refused.stderr).toContain('The access token is not valid here');
      }
    });

    test('pushes and pulls through the credential helper, with the certificate of certs.d', async () => {
      await trust(parties.alice);
      await expectPushAndPull(await helperUser(), `${front.registryHost}/team-a/helper:1`);
    });

    test('ends a refused push at once, with the sentence of the service after "denied:"', async () => {
      await trust(parties.alice);
      const target = `${front.registryHost}/elsewhere/app:1`;
      await engine.load(await parties.newImage(), target);
      const docker = await helperUser();
      const before = (await front.serviceLog()).length;
      const { exitCode, stderr } = await docker('push', target);
      expect({ exitCode, stderr }).toEqual({
        exitCode: 1,
        stderr: expect.stringMatching(/^(?:denied|error from registry): .*repository:elsewhere\/app/m),
      });
      // Five retries are what an error code that docker does not know costs.
      const log = (await front.serviceLog()).slice(before);
      expect(log.match(/"reason":"plan-denied"/g)).toHaveLength(1);
    });

    test('pushes and pulls with a registry token that was stored for it, and no client certificate', async () => {
      await trust(null);
      const configuration = await configurationWith('token', '{}');
      const stored = await runBinary([
        ...['token', '--profile', 'alice', '--profiles', user.profilesPath],
        ...['--scope', 'repository:team-a/token:pull,push'],
        ...['--docker-config', join(configuration, 'config.json')],
      ]);
      expect(stored).toMatchObject({ exitCode: 0, stdout: '' });
      const docker: Docker = (...words) => engine.docker(words, configuration);
      await expectPushAndPull(docker, `${front.registryHost}/team-a/token:1`);
    });

    test('pushes and pulls through the agent of a client that has DPoP alone', async () => {
      await using agent = await startAgent();
      const configuration = await configurationWith('agent', '{}');
      const docker: Docker = (...words) => engine.docker(words, configuration);
      await expectPushAndPull(docker, `${agent.host}/team-a/agent:1`);
      const denied = `${agent.host}/elsewhere/agent:1`;
      await engine.load(await parties.newImage(), denied);
      const refused = await docker('push', denied);
      expect(refused.stderr).toMatch(/^(?:denied|error from registry): .*repository:elsewhere\/agent/m);
    });

    const startAgent = async (): Promise<{ readonly host: string } & AsyncDisposable> => {
      const keyPath = parties.folder.at('builder.pem');
      await writeFile(keyPath, await exportPKCS8(parties.builderKey));
      const port = await findFreePort();
      const child: Child = start([
        ...[
          ...serviceCommand,
          'agent',
          '--listen',
          `127.0.0.1:${port}`,
          '--registry',
          `https://${front.registryHost}`,
        ],
        ...['--authority', parties.authority.issuer, '--client-id', 'builder', '--client-key', keyPath],
        ...['--ca', parties.certificateAuthority.certificatePath],
      ]);
      await child.waitForLine(/"ready"/);
      return { host: `127.0.0.1:${port}`, [Symbol.asyncDispose]: async () => void (await child.stop()) };
    };
  },
);

/** The layers of an OCI layout as they are unpacked; what docker calls the image by depends on its store. */
async function layersOf(folder: string): Promise<string[]> {
  const config = await readFile(blobPath(folder, `sha256:${await imageId(folder)}`), 'utf8');
  return JSON.parse(config).rootfs.diff_ids;
}
