/** BuildKit: `buildctl` fetches the tokens, by the helper and a certificate of its own options, or through the agent. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { copyFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { startAgentSetting } from '../support/agent-setting.ts';
import { startBuildKit } from '../support/buildkit.ts';
import { createHelperUser, type HelperUser } from '../support/credential-helper.ts';
import { describeAsRoot } from '../support/debian-parts.ts';
import { createImageClient } from '../support/image-clients.ts';
import { writeImage } from '../support/images.ts';
import { type Front, startBehindProxy } from '../support/mtls-fronts.ts';
import { createMtlsParties, type MtlsParties } from '../support/mtls-parties.ts';
import { createTemporaryFolder } from '../support/processes.ts';
import { runBinary } from '../support/running-service.ts';

setDefaultTimeout(60_000);

/** Nothing in it runs a program. */
const derivedFrom = (base: string) => `FROM ${base}\nCOPY greeting.txt /second\n`;

describeAsRoot(
  ['buildctl', 'buildkitd', 'docker-registry', 'nginx', 'openssl', 'skopeo'],
  'buildctl with --registry-auth-tlscontext',
  () => {
    const parts = new AsyncDisposableStack();
    let parties: MtlsParties;
    let front: Front;
    let user: HelperUser;

    beforeAll(async () => {
      parties = parts.use(await createMtlsParties());
      front = parts.use(await startBehindProxy(parties, 'nginx'));
      user = await createHelperUser(parties, parties.alice, front.registryHost);
      await copyFile(user.authFile, join(dirname(user.authFile), 'config.json'));
    });

    afterAll(() => parts.disposeAsync());

    test('builds on a private base and pushes, by the OpTok of the helper; a denied push tells why', async () => {
      const certificateFolder = await parties.certificateFolder(parties.alice);
      const skopeo = createImageClient('skopeo', parties.folder);
      const access = { authFile: user.authFile, environment: user.environment, certificateFolder };
      const base = `${front.registryHost}/team-a/base:1`;
      expect(await skopeo.push(await parties.newImage(), base, access)).toMatchObject({ exitCode: 0 });
      await using buildkit = await startBuildKit({ host: front.registryHost, certificateFolder });
      const env = { ...user.environment, DOCKER_CONFIG: dirname(user.authFile) };
      const target = `${front.registryHost}/team-b/derived:1`;
      expect(await buildkit.build(derivedFrom(base), target, env)).toMatchObject({ exitCode: 0 });
      expect((await skopeo.pull(target, access)).id).not.toBeNull();
      const denied = await buildkit.build(derivedFrom(base), target.replace('team-b', 'elsewhere'), env);
      expect(denied).toMatchObject({
        exitCode: 1,
        stderr: expect.stringMatching(
          /denied: The plan enterprise does not allow repository:elsewhere\/derived/,
        ),
      });
    });

    test('builds on a private base and pushes, by a token that --docker-config stored', async () => {
      const certificateFolder = await parties.certificateFolder(parties.alice);
      const skopeo = createImageClient('skopeo', parties.folder);
      const access = { authFile: user.authFile, environment: user.environment, certificateFolder };
      const base = `${front.registryHost}/team-a/stored-base:1`;
      expect(await skopeo.push(await parties.newImage(), base, access)).toMatchObject({ exitCode: 0 });
      await using home = await createTemporaryFolder();
      const scopes = ['repository:team-a/stored-base:pull', 'repository:team-b/stored:pull,push'];
      const stored = await runBinary([
        ...['token', '--profile', 'alice', '--profiles', user.profilesPath],
        ...scopes.flatMap((scope) => ['--scope', scope]),
        ...['--docker-config', home.at('config.json')],
      ]);
      expect(stored).toMatchObject({ exitCode: 0 });
      await using buildkit = await startBuildKit({ host: front.registryHost, certificateFolder });
      const target = `${front.registryHost}/team-b/stored:1`;
      const built = await buildkit.build(derivedFrom(base), target, { DOCKER_CONFIG: home.path });
      expect(built).toMatchObject({ exitCode: 0 });
      expect((await skopeo.pull(target, access)).id).not.toBeNull();
    });
  },
);

describeAsRoot(
  ['buildctl', 'buildkitd', 'docker-registry', 'openssl', 'skopeo'],
  'buildctl through the agent',
  () => {
    test('builds on a private base and pushes, without credentials', async () => {
      await using setting = await startAgentSetting();
      const skopeo = createImageClient('skopeo', setting.folder);
      await writeImage(setting.folder.at('base'));
      const base = `${setting.host}/team-a/base:1`;
      expect(await skopeo.push(setting.folder.at('base'), base, 'plain-http')).toMatchObject({ exitCode: 0 });
      await using buildkit = await startBuildKit({ host: setting.host, certificateFolder: null });
      const target = `${setting.host}/team-b/derived:1`;
      expect(await buildkit.build(derivedFrom(base), target, {})).toMatchObject({ exitCode: 0 });
      expect((await skopeo.pull(target, 'plain-http')).id).not.toBeNull();
    });
  },
);
