/** `kubelet-credential-provider`: what the kubelet is answered, and the sample by which it asks. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import {
  kubeletCredentialProvider,
  registryOfImage,
} from '../../../src/cli/client/kubelet-credential-provider.ts';
import { loadProfiles } from '../../../src/cli/client/profile.ts';
import { type ClientSite, createClientSite } from '../../support/client-profiles.ts';
import { describeWith } from '../../support/debian-parts.ts';
import { type FakeServer, startFakeServer } from '../../support/fake-server.ts';
import { runCommand } from '../../support/run-command.ts';

const etc = (name: string) => new URL(`../../../etc/${name}`, import.meta.url).pathname;
const sample = parse(readFileSync(etc('kubernetes/credential-provider.yaml'), 'utf8'));
const API_VERSION = 'credentialprovider.kubelet.k8s.io/v1';
const request = (image: string) => ({ apiVersion: API_VERSION, kind: 'CredentialProviderRequest', image });

describeWith(['openssl'], 'the credential provider', () => {
  let site: ClientSite;

  beforeEach(async () => {
    site = await createClientSite();
  });

  afterEach(async () => {
    await site[Symbol.asyncDispose]();
  });

  /** As the sample has the kubelet call it, but for the place of the profiles. */
  async function ask(input: unknown) {
    const [command, ...args] = sample.providers[0].args.map((word: string) =>
      word === '/etc/registry-token/client.yaml' ? site.profilesPath : word,
    );
    expect(command).toBe(kubeletCredentialProvider.name);
    return runCommand(
      kubeletCredentialProvider,
      args,
      typeof input === 'string' ? input : JSON.stringify(input),
    );
  }

  test('answers with an OpTok for the registry of the image, kept for half of its life', async () => {
    const { exitCode, stdout, stderr } = await ask(request('registry.example.com/team/app:1'));
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    const { cacheDuration, ...response } = JSON.parse(stdout);
    expect(response).toEqual({
      apiVersion: sample.providers[0].apiVersion,
      kind: 'CredentialProviderResponse',
      cacheKeyType: 'Registry',
      auth: {
        'registry.example.com': { username: 'registry-token', password: expect.stringMatching(/^e30\./) },
      },
    });
    expect(cacheDuration).toMatch(/^\d+s$/);
    expect(Number.parseInt(cacheDuration, 10)).toBeWithin(295, 301);
  });

  test.each([[1], [undefined]])(
    'an OpTok that is good for %p seconds is not to be kept',
    async (lifetime) => {
      site.gives.expires_in = lifetime;
      expect(JSON.parse((await ask(request('registry.example.com/a:1'))).stdout).cacheDuration).toBe('0s');
    },
  );

  test.each(['docker.io/library/alpine', 'alpine', 'other.example.com/a@sha256:00'])(
    'has no credentials for %s, and says so without asking anybody',
    async (image) => {
      const { exitCode, stdout } = await ask(request(image));
      expect(exitCode).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ kind: 'CredentialProviderResponse', auth: null });
      expect(site.authority.heard).toEqual([]);
    },
  );

  describe('with the token of a service account', () => {
    const token = (claims: object) => `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`;
    let registry: FakeServer;
    let host: string;
    const realm = 'https://token.example.com/token';

    beforeEach(() => {
      registry = startFakeServer(
        () =>
          new Response(null, {
            status: 401,
            headers: { 'WWW-Authenticate': `Bearer realm="${realm}",service="s"` },
          }),
      );
      host = new URL(registry.url).host;
    });

    afterEach(async () => {
      await registry[Symbol.asyncDispose]();
    });

    const askFor = (members: object) => ask({ ...request(`${host}/team/app:1`), ...members });

    test('it is the OpTok, kept for half of the life that it has left', async () => {
      site.writeProfiles((node) => ({ node, pods: { registry: host, realm, serviceAccountToken: true } }));
      const serviceAccountToken = token({ exp: Date.now() / 1000 + 600 });
      const { exitCode, stdout } = await askFor({ serviceAccountToken, serviceAccountAnnotations: {} });
      expect(exitCode).toBe(0);
      const { auth, cacheKeyType, cacheDuration } = JSON.parse(stdout);
      expect(auth).toEqual({ [host]: { username: 'registry-token', password: serviceAccountToken } });
      expect(cacheKeyType).toBe('Registry');
      expect(Number.parseInt(cacheDuration, 10)).toBeWithin(295, 301);
    });

    test('it is used for no profile that does not say so, and such a profile is used for no other request', async () => {
      site.writeProfiles((node) => ({ node: { ...node, registry: host } }));
      const answer = await askFor({ serviceAccountToken: token({ sub: 'pod' }) });
      expect(JSON.parse(answer.stdout).auth[host].password).not.toBe(token({ sub: 'pod' }));
      site.writeProfiles(() => ({ pods: { registry: host, realm, serviceAccountToken: true } }));
      expect((await askFor({})).stderr).toContain('set tokenAttributes');
    });

    test('the registry must name the realm of the profile', async () => {
      site.writeProfiles(() => ({
        pods: { registry: host, realm: 'https://other.example.com/', serviceAccountToken: true },
      }));
      const { exitCode, stdout, stderr } = await askFor({ serviceAccountToken: token({}) });
      expect([exitCode, stdout]).toEqual([1, '']);
      expect(stderr).toContain('the bearer token is not handed out');
    });

    test('its annotation chooses among the profiles for service accounts, and among no others', async () => {
      const pods = { registry: host, realm, serviceAccountToken: true };
      site.writeProfiles((node) => ({
        node: { ...node, registry: host },
        wrong: { ...pods, realm: 'https://other.example.com/' },
        right: pods,
      }));
      const choose = (profile: string) =>
        askFor({
          serviceAccountToken: token({}),
          serviceAccountAnnotations: { 'registry-token/profile': profile },
        });
      expect((await choose('right')).exitCode).toBe(0);
      expect((await choose('wrong')).exitCode).toBe(1);
      expect((await choose('node')).stderr).toContain(
        'no profile of that name has serviceAccountToken: true',
      );
    });
  });

  test.each([
    ['no JSON', 'standard input holds no CredentialProviderRequest'],
    [null, 'standard input holds no CredentialProviderRequest'],
    [
      { ...request('registry.example.com/a'), kind: 'Pod' },
      'standard input holds no CredentialProviderRequest',
    ],
    [request(''), 'standard input holds no CredentialProviderRequest'],
    [
      { ...request('registry.example.com/a'), apiVersion: 'credentialprovider.kubelet.k8s.io/v1alpha1' },
      'the apiVersion of the request is not credentialprovider.kubelet.k8s.io/v1',
    ],
  ])('%j fails with the reason on standard error', async (input, message) => {
    const { exitCode, stdout, stderr } = await ask(input);
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
    expect(stderr).toContain(message);
  });

  test('an OpTok that is bound to nothing is not given to the kubelet', async () => {
    site.gives.cnf = undefined;
    const { exitCode, stdout, stderr } = await ask(request('registry.example.com/a'));
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
    expect(stderr).toContain('not bound to a certificate');
  });
});

test('the sample for the kubelet names the program, and asks for the registry of the sample profiles', () => {
  expect(sample).toMatchObject({ apiVersion: 'kubelet.config.k8s.io/v1', kind: 'CredentialProviderConfig' });
  expect(sample.providers[0]).toMatchObject({ name: 'registry-token', apiVersion: API_VERSION });
  const hosts = loadProfiles(etc('client.yaml')).flatMap((profile) => profile.hosts);
  expect(hosts).toEqual(expect.arrayContaining(sample.providers[0].matchImages));
});

test.each([
  ['registry.example.com/team/app:1', 'registry.example.com'],
  ['registry.example.com:5000/app@sha256:abc', 'registry.example.com:5000'],
  ['localhost/app', 'localhost'],
  ['[::1]:5000/app', '[::1]:5000'],
  ['team/app', 'docker.io'],
  ['alpine:3.20', 'docker.io'],
])('the image %s is of %s', (image, registry) => {
  expect(registryOfImage(image)).toBe(registry);
});
