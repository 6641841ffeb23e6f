/** Tokens of pods and CI jobs at a real registry: each pushes to its own project's path, and to nothing else. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { parse, stringify } from 'yaml';
import { writeCertificate } from '../support/certificates.ts';
import { describeWith } from '../support/debian-parts.ts';
import { keySetOf } from '../support/faulty-authority.ts';
import { writeImage } from '../support/images.ts';
import { createKey, type TestKey } from '../support/keys.ts';
import { askProvider, decodeStrictly, readProviderConfiguration } from '../support/kubelet.ts';
import { createTemporaryFolder, run, type TemporaryFolder } from '../support/processes.ts';
import { recipeBlock, recipeProfiles } from '../support/recipes.ts';
import { type Registry, startRegistry } from '../support/registry.ts';
import {
  REGISTRY_SERVICE,
  type RunningService,
  runBinary,
  startService,
  TOKEN_ISSUER,
} from '../support/running-service.ts';
import { signMembers } from '../support/tokens.ts';

setDefaultTimeout(60_000);

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

/** The three recipes in one configuration: `authorities` and plans of all of them. */
const names = ['kubernetes', 'github-actions', 'gitlab'] as const;
const recipes = names.map((name) => parse(recipeBlock(name, 'Here', 'yaml', 'authorities:')));

describeWith(['docker-registry', 'skopeo', 'openssl'], 'the token of a job as the password', () => {
  const stack = new AsyncDisposableStack();
  let folder: TemporaryFolder;
  let key: TestKey;
  let service: RunningService;
  let registry: Registry;

  beforeAll(async () => {
    folder = stack.use(await createTemporaryFolder());
    key = await createKey('RS256');
    await writeFile(folder.at('jwks.json'), JSON.stringify(keySetOf([key])));
    const signing = await writeCertificate(folder, 'registry-signing');
    const withKeys = (authority: object) => ({ ...authority, jwksPath: folder.at('jwks.json') });
    const all = Object.assign({}, ...recipes.map(({ authorities }) => authorities));
    const authorities = Object.fromEntries(
      Object.entries(all).map(([name, authority]) => [name, withKeys(authority as object)]),
    );
    const plans = Object.assign({}, ...recipes.map((recipe) => recipe.plans));
    service = stack.use(
      await startService({
        authorityIssuer: '',
        signing: { ...signing },
        sections: { authority: undefined, authorities, plans, defaultPlan: undefined },
      }),
    );
    registry = stack.use(
      await startRegistry({
        realm: service.realm,
        service: REGISTRY_SERVICE,
        issuer: TOKEN_ISSUER,
        rootCertificatePath: signing.certificatePath,
      }),
    );
  });

  afterAll(() => stack.disposeAsync());

  /** A token as the server writes it, by the vector of its recipe. */
  function tokenOf(name: string): string {
    const { header, claims } = JSON.parse(read(`test/vectors/authorities/${name}.json`));
    const now = Math.floor(Date.now() / 1000);
    const times = { iat: now - 5, exp: now + 300 };
    return signMembers({ alg: 'RS256', kid: key.thumbprint, ...header }, { ...claims, ...times }, key);
  }

  async function push(token: string, repository: string) {
    const image = await writeImage(folder.at(`image-${Math.random()}`));
    const words = ['copy', '--insecure-policy', '--dest-tls-verify=false', '--dest-creds', `job:${token}`];
    return run(['skopeo', ...words, image.source, `docker://${registry.host}/${repository}:1`]);
  }

  async function explain(token: string, repository: string): Promise<unknown> {
    const words = ['explain', '--config', service.configurationPath, '--token', '-', '--verify', '--json'];
    const { stdout } = await runBinary([...words, `repository:${repository}:pull,push`], { input: token });
    return JSON.parse(stdout);
  }

  test.each([
    ['kubernetes', 'team/app', 'teams/app'],
    ['github-actions', 'octo-org/octo-repo', 'octo-org/other'],
    ['gitlab', 'team/app/web', 'team/other'],
  ])('of %s pushes to %s, and not to %s', async (name, own, foreign) => {
    const token = tokenOf(name);
    expect(await explain(token, own)).toMatchObject({ outcome: 'granted', faults: [] });
    expect(await explain(token, foreign)).toMatchObject({ outcome: 'refused', reason: 'plan-denied' });
    expect(await push(token, own)).toMatchObject({ exitCode: 0 });
    const refused = await push(token, foreign);
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toMatch(/403 \(Forbidden\)/);
  });

  describeWith(['kubelet-types'], 'the kubelet', () => {
    const profiles = () => {
      const [profile] = Object.values(recipeProfiles('kubernetes'));
      const here = { ...profile, registry: registry.host, realm: service.realm };
      return { pods: here, others: { ...here, realm: 'http://127.0.0.1:1/token' } };
    };

    async function askFor(image: string, ...annotations: readonly string[]) {
      await writeFile(folder.at('client.yaml'), stringify({ profiles: profiles() }));
      const configuration = await readProviderConfiguration('with tokenAttributes');
      const request = { image, token: tokenOf('kubernetes'), annotations };
      return { ...(await askProvider(configuration, folder.at('client.yaml'), request)), ...request };
    }

    test("is given the token of the pod's service account, and pulls with it", async () => {
      const repository = `${registry.host}/team/pod`;
      expect(await push(tokenOf('kubernetes'), 'team/pod')).toMatchObject({ exitCode: 0 });
      const { auth, token, cacheKeyType, cacheDuration } = await askFor(`${repository}:1`);
      expect(auth).toEqual({ [registry.host]: { username: 'registry-token', password: token } });
      // The kubelet adds the token or the service account to the key.
      expect(cacheKeyType).toBe('Registry');
      expect(cacheDuration).toMatch(/^2m\d+s$/);
      const words = ['copy', '--insecure-policy', '--src-tls-verify=false', '--src-creds', `pod:${token}`];
      const pulled = await run(['skopeo', ...words, `docker://${repository}:1`, `oci:${folder.at('pod')}:1`]);
      expect(pulled).toMatchObject({ exitCode: 0 });
    });

    test('is told that there is nothing for another registry', async () => {
      expect((await askFor('docker.io/library/debian:12')).auth ?? null).toBeNull();
    });

    test('lets the service account choose the profile by its annotation', async () => {
      const image = `${registry.host}/team/pod:1`;
      expect((await askFor(image, 'registry-token/profile=pods')).auth).toHaveProperty([registry.host]);
      await expect(askFor(image, 'registry-token/profile=others')).rejects.toThrow(
        'the bearer token is not handed out',
      );
    });

    test('would refuse a response with a member that it does not know', async () => {
      const response = {
        apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
        kind: 'CredentialProviderResponse',
        cacheKeyType: 'Registry',
        auth: null,
        cacheFor: '5s',
      };
      await expect(decodeStrictly('response', JSON.stringify(response))).rejects.toThrow(
        'unknown field "cacheFor"',
      );
    });
  });

  test("each Authority's rules are its own: a token of one does not get the path that it would have at another", async () => {
    // The project path of a GitLab job as the claim of a pod's token means nothing there.
    const { claims } = JSON.parse(read('test/vectors/authorities/kubernetes.json'));
    const now = Math.floor(Date.now() / 1000);
    const forged = signMembers(
      { alg: 'RS256', kid: key.thumbprint },
      { ...claims, project_path: 'team2/app', ref_protected: 'true', iat: now - 5, exp: now + 300 },
      key,
    );
    expect((await push(forged, 'team2/app')).exitCode).not.toBe(0);
  });
});
