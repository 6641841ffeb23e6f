/** The commands that README.md and etc/README.md print for users, run as they are printed. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { decodeJwt } from 'jose';
import { parse, stringify } from 'yaml';
import { AUTHORITY_AUDIENCE, type Authority, startAuthority } from '../support/authority.ts';
import { createHelperUser } from '../support/credential-helper.ts';
import { describeWith } from '../support/debian-parts.ts';
import { createHelm } from '../support/helm.ts';
import { imageId } from '../support/image-clients.ts';
import { writeImage } from '../support/images.ts';
import { createKey } from '../support/keys.ts';
import { fronts } from '../support/mtls-fronts.ts';
import { createMtlsParties } from '../support/mtls-parties.ts';
import {
  createTemporaryFolder,
  findFreePort,
  runOrFail,
  searchPath,
  type TemporaryFolder,
} from '../support/processes.ts';
import { readCommands, readYaml } from '../support/readme.ts';
import { type Registry, startRegistry } from '../support/registry.ts';
import { BINARY, type RunningService, startService } from '../support/running-service.ts';

setDefaultTimeout(60_000);

/** Runs them in a folder where `registry-token` is in PATH. Returns standard output. */
async function runAsPrinted(
  commands: string,
  folder: TemporaryFolder,
  environment: Readonly<Record<string, string>> = {},
): Promise<string> {
  await mkdir(folder.at('bin'), { recursive: true });
  await symlink(BINARY, folder.at('bin/registry-token'));
  const env = { HOME: folder.path, ...environment, PATH: `${folder.at('bin')}:${searchPath}` };
  return runOrFail(['bash', '-euo', 'pipefail', '-c', commands], { cwd: folder.path, env });
}

describeWith(['curl', 'docker-registry', 'openssl'], 'with the client and the names of the pages', () => {
  let folder: TemporaryFolder;
  let authority: Authority;
  let service: RunningService;
  let registry: Registry;

  beforeAll(async () => {
    folder = await createTemporaryFolder();
    await runOrFail([BINARY, 'keygen', '--out', folder.path]);
    authority = await startAuthority({ clients: [{ id: 'builder', plan: 'team' }] });
    service = await startService({
      authorityIssuer: authority.issuer,
      signing: {
        keyPath: folder.at('registry-signing.pem'),
        certificatePath: folder.at('registry-signing.crt'),
      },
      sections: {
        // With the usual clockSkew: what is printed works right after a start too.
        authority: { issuer: authority.issuer, audiences: [AUTHORITY_AUDIENCE] },
        defaultPlan: 'team',
        plans: {
          team: {
            repositories: [
              { pattern: 'stella-ops/public/*' },
              { pattern: 'team/*', actions: ['pull', 'push'] },
            ],
          },
        },
      },
    });
    const { realm } = service;
    const rootCertificatePath = folder.at('registry-signing.crt');
    const names = { service: 'registry.e2e.example', issuer: 'registry-token.e2e.example' };
    registry = await startRegistry({ realm, ...names, rootCertificatePath });
    await writeFile(folder.at('secret'), authority.clientSecret);
  });

  afterAll(async () => {
    for (const part of [registry, service, authority, folder]) await part?.[Symbol.asyncDispose]();
  });

  test('the documented call of curl gets a token right after a start', async () => {
    await using home = await createTemporaryFolder();
    const [keyUrl, scope] = [`${authority.issuer}/token`, 'registry.token.issue'];
    const proof = `$(registry-token dpop-proof --method POST --url ${keyUrl} --key dpop.pem)`;
    const form = `-d grant_type=client_credentials -d scope=${scope}`;
    // How the OpTok comes from the Authority is not what the page tells.
    const obtain = `answer=$(curl -fsS -u "builder:$SECRET" -H "DPoP: ${proof}" ${form} ${keyUrl})
      OPTOK=$(sed -E 's/.*"access_token":"([^"]+)".*/\\1/' <<< "$answer")`;
    const call = await readCommands('etc/README.md', 'ask --nonce', [
      ['http://localhost:8085', `http://localhost:${service.port}`],
      ['registry.localhost', 'registry.e2e.example'],
    ]);
    const output = await runAsPrinted(`${obtain}\n${call}`, home, { SECRET: authority.clientSecret });
    expect(decodeJwt(JSON.parse(output).token).access).toEqual([
      { type: 'repository', name: 'stella-ops/public/base', actions: ['pull'] },
    ]);
  });

  test('the command that gets a token prints one that the registry takes', async () => {
    await using home = await createTemporaryFolder();
    const command = await readCommands('README.md', 'registry-token token', [
      ['https://authority.example.com', authority.issuer],
      ['--client-id ci', '--client-id builder'],
      ['ci.secret', folder.at('secret')],
      ['registry.example.com', registry.url],
    ]);
    const token = (await runAsPrinted(command, home)).trim();
    const answer = await fetch(`${registry.url}/v2/team/app/tags/list`, {
      headers: { Authorization: `Bearer ${token}` },
    });
    // Not 401: it is the repository that is not there.
    expect(answer.status).toBe(404);
  });

  describeWith(['skopeo', 'podman', 'helm'], 'through the agent', () => {
    test('skopeo, podman and helm work as printed', async () => {
      await using home = await createTemporaryFolder();
      await writeImage(home.at('app'));
      await createHelm(home).makeChart('app');
      const profile = {
        authority: authority.issuer,
        clientId: 'builder',
        clientSecretPath: folder.at('secret'),
        realm: service.realm,
        service: 'registry.e2e.example',
      };
      await mkdir(home.at('.config/registry-token'), { recursive: true });
      await writeFile(
        home.at('.config/registry-token/client.yaml'),
        stringify({ profiles: { ci: profile } }),
      );
      const address = `127.0.0.1:${await findFreePort()}`;
      const commands = await readCommands('etc/README.md', 'registry-token agent', [
        ['https://registry.example.com', registry.url],
        ['127.0.0.1:5001', address],
        [
          'skopeo copy',
          `until curl -s -o answer http://${address}/v2/; do sleep 0.1; done\nskopeo --insecure-policy copy`,
        ],
        ['podman pull', 'podman --root podman/root --runroot podman/run --storage-driver vfs pull --quiet'],
      ]);
      // What was started in the background ends with the shell.
      const output = await runAsPrinted(`trap 'kill %1' EXIT\n${commands}`, home);
      expect(output.split('\n')).toContain(await imageId(home.at('app')));
    });
  });
});

test('check takes the minimal configuration with the keys from a file, and prints the section for the registry', async () => {
  await using folder = await createTemporaryFolder();
  await runOrFail([BINARY, 'keygen', '--out', folder.path]);
  const { publicJwk, thumbprint } = await createKey('ES256');
  const keySet = { keys: [{ ...publicJwk, kid: thumbprint }] };
  await writeFile(folder.at('authority-jwks.json'), JSON.stringify(keySet));
  const minimal = await readYaml('README.md', 'signing:');
  const airGapped = await readYaml('README.md', 'jwksPath:');
  const auth = await readYaml('README.md', 'rootcertbundle:');
  await writeFile(folder.at('registry-token.yaml'), stringify({ ...parse(minimal), ...parse(airGapped) }));
  const output = await runAsPrinted('registry-token check --config registry-token.yaml', folder);
  const certificatePath = folder.at('registry-signing.crt');
  const printed = parse(auth.replace('/etc/docker/registry/registry-signing.crt', certificatePath));
  const sections = output.split(/^# registry .*$/m).map((section) => section.trim());
  expect(
    sections
      .filter((section) => section.startsWith('auth:'))
      .map((section) => parse(section.split('\n\n')[0] ?? '')),
  ).toEqual([printed, printed]);
});

describeWith(['helm', 'nginx', 'docker-registry', 'openssl'], 'with a certificate', () => {
  test('helm pushes and pulls by the five lines that are printed', async () => {
    await using parties = await createMtlsParties();
    await using front = await fronts.nginx(parties);
    const { profilesPath } = await createHelperUser(parties, parties.alice, front.registryHost);
    await using home = await createTemporaryFolder();
    await cp(await parties.certificateFolder(parties.alice), home.path, { recursive: true });
    await mkdir(home.at('.config/registry-token'), { recursive: true });
    await cp(profilesPath, home.at('.config/registry-token/client.yaml'));
    const sample = await readFile(new URL('../../etc/docker/config.json', import.meta.url), 'utf8');
    await mkdir(home.at('etc/docker'), { recursive: true });
    await writeFile(
      home.at('etc/docker/config.json'),
      sample.replace('registry.example.com', front.registryHost),
    );
    const archive = await createHelm(home).makeChart('app');
    const pushed = await readFile(archive);
    const commands = await readCommands(
      'etc/README.md',
      'helm push app-1.0.0.tgz oci://registry.example.com',
      [
        ['registry.example.com/team', `${front.registryHost}/team-a`],
        ['/usr/local/bin/', `${home.at('bin')}/`],
        ['helm pull', `rm ${archive}\nhelm pull`],
      ],
    );
    await runAsPrinted(commands, home);
    expect(await readFile(archive)).toEqual(pushed);
  });
});
