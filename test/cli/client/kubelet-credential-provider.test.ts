/** `kubelet-credential-provider`: what the kubelet is answered, and the sample by which it asks. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import {
  kubeletCredentialProvider,
  registryOfImage,
} from '../../../src/cli/client/kubelet-credential-provider.ts';
import { loadProfiles } from '../../../src/cli/client/profile.ts';
import { type ClientSite, createClientSite } from '../../support/client-profiles.ts';
import { describeWith } from '../../support/debian-parts.ts';
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

  test('answers with an OpTok for the registry of the image, kept a minute less than it is good for', async () => {
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
    expect(Number.parseInt(cacheDuration, 10)).toBeWithin(530, 541);
  });

  test.each([[30], [undefined]])(
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
      'is of another version than credentialprovider.kubelet.k8s.io/v1',
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
