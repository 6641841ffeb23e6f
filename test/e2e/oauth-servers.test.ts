/**
 * Real OAuth servers by their recipes in etc/authorities: from discovery to a push and a pull at a registry. Settings, profiles
 * and commands are those that the recipe prints.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { createPublicKey, generateKeyPairSync, randomUUID } from 'node:crypto';
import { copyFile, cp, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { stringify } from 'yaml';
import { writeCertificate } from '../support/certificates.ts';
import { describeWith, type Part } from '../support/debian-parts.ts';
import { startGlewlwyd } from '../support/glewlwyd.ts';
import { imageId } from '../support/image-clients.ts';
import { writeImage } from '../support/images.ts';
import { type ClientSettings, type Keycloak, startKeycloak } from '../support/keycloak.ts';
import { type OwnTlsFront, startOwnTls } from '../support/mtls-fronts.ts';
import { writeCertificateFolder } from '../support/mtls-parties.ts';
import type { OAuthServer } from '../support/oauth-servers.ts';
import {
  createTemporaryFolder,
  findFreePort,
  runOrFail,
  searchPath,
  type TemporaryFolder,
} from '../support/processes.ts';
import { recipeBlock, recipeConfiguration, recipeProfiles } from '../support/recipes.ts';
import { BINARY, runBinary } from '../support/running-service.ts';
import { readSample } from '../support/samples.ts';
import { keepSecret } from '../support/secret-watch.ts';
import { startSpring } from '../support/spring.ts';
import {
  type CertificateAuthority,
  createCertificateAuthority,
  type TlsIdentity,
} from '../support/tls-identities.ts';

// A Java server takes half a minute to start, and several on a loaded machine.
setDefaultTimeout(400_000);

interface Setting<Server extends OAuthServer = OAuthServer> {
  /** The home of the user: the profiles with their files, an image `app`, and what skopeo needs. */
  readonly folder: TemporaryFolder;
  readonly certificateAuthority: CertificateAuthority;
  readonly server: Server;
  readonly front: OwnTlsFront;
  /** Of the user's shell. */
  readonly environment: Readonly<Record<string, string>>;
}

/** What a server is started with: the secret of the client `builder`, and who issues the certificate of the client `node`. */
interface Credentials {
  readonly secret: string;
  readonly certificateAuthority: CertificateAuthority;
}

interface Trial<Server extends OAuthServer> {
  readonly name: string;
  readonly parts: readonly Part[];
  readonly startServer: (credentials: Credentials) => Promise<Server>;
  /** Further rules of this server. */
  readonly more?: (setting: () => Setting<Server>) => void;
}

const SCOPE = 'repository:team/app:pull,push';

function describeServer<Server extends OAuthServer>({ name, parts, startServer, more }: Trial<Server>): void {
  const programs = ['curl', 'docker-registry', 'openssl', 'skopeo'] as const;
  describeWith([...parts, ...programs], `${name}, by its recipe`, () => {
    const stack = new AsyncDisposableStack();
    let setting: Setting<Server>;

    beforeAll(async () => {
      const folder = stack.use(await createTemporaryFolder());
      const certificateAuthority = await createCertificateAuthority(folder, 'ca');
      const secret = keepSecret(randomUUID());
      const server = stack.use(await startServer({ secret, certificateAuthority }));
      const parties = {
        folder,
        certificateAuthority,
        server: await certificateAuthority.issue('server'),
        authority: server,
        signing: await writeCertificate(folder, 'registry-signing'),
        environment: {},
      };
      const front = stack.use(await startOwnTls(parties, recipeConfiguration(name, server)));
      const extensions = ['extendedKeyUsage=clientAuth', 'subjectAltName=DNS:node.example.com'];
      const node = await certificateAuthority.issue('node', { extensions });
      await writeProfiles(name, folder, { server, front, secret, node, certificateAuthority });
      await cp(await writeCertificateFolder(parties, node), folder.at('certs.d'), { recursive: true });
      const sample = await readSample('containers/auth.json', [['registry.example.com', front.registryHost]]);
      await writeFile(folder.at('auth.json'), sample);
      await mkdir(folder.at('bin'));
      await symlink(BINARY, folder.at('bin/registry-token'));
      const environment = {
        HOME: folder.path,
        PATH: `${folder.at('bin')}:${searchPath}`,
        // By which skopeo trusts the registry.
        SSL_CERT_FILE: certificateAuthority.certificatePath,
      };
      setting = { folder, certificateAuthority, server, front, environment };
    });

    afterAll(() => stack.disposeAsync());

    test('`check` finds nothing that its tokens could fail for', async () => {
      const { stdout } = await runBinary(['check', '--json', '--config', setting.front.configurationPath]);
      const { findings } = JSON.parse(stdout) as { findings: { code: string }[] };
      const codes = findings.map(({ code }) => code);
      expect(codes.filter((code) => /^(?:authority|proof|clock|audience|rule)/.test(code))).toEqual([]);
    });

    /** Runs the commands that the recipe prints in a block with this text; they push `app` and pull it to `copy`. */
    const pushAndPullBy = async (
      text: string,
      profile: string,
      more: Readonly<Record<string, string>> = {},
    ) => {
      const { folder, front } = setting;
      const environment = { ...setting.environment, ...more };
      const address = `127.0.0.1:${await findFreePort()}`;
      const places: readonly (readonly [string, string])[] = [
        ['--profile builder', `--profile ${profile}`],
        ['registry-token agent', `registry-token agent --listen ${address}`],
        [' &\n', ` &\nuntil curl -s -o answer http://${address}/v2/; do sleep 0.1; done\n`],
        ['registry.example.com', front.registryHost],
        ['127.0.0.1:5001', address],
        ['ln -s ', 'ln -sf '],
        ['/usr/local/bin/', `${folder.at('bin')}/`],
        ['skopeo copy', 'skopeo --insecure-policy copy'],
      ];
      const commands = places.reduce(
        (block, [found, replacement]) => block.replaceAll(found, replacement),
        recipeBlock(name, 'The client', 'sh', text),
      );
      for (const image of ['app', 'copy']) await rm(folder.at(image), { recursive: true, force: true });
      await writeImage(folder.at('app'));
      // What was started in the background ends with the shell.
      const script = `trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n${commands}`;
      const bash = ['bash', '-euo', 'pipefail', '-c', script];
      await runOrFail(bash, { cwd: folder.path, env: environment });
      expect(await imageId(folder.at('copy'))).toBe(await imageId(folder.at('app')));
    };

    const profiles = recipeProfiles(name);
    describe.each(Object.entries(profiles))('with the profile %s', (profile, { bind }) => {
      test(`\`token\` gets a token by ${bind}, with which skopeo pushes and pulls`, async () => {
        await pushAndPullBy('registry-token token', profile);
      });

      test('the agent pushes and pulls for a client without credentials', async () => {
        await pushAndPullBy('registry-token agent', profile);
      });

      if (bind === 'certificate') {
        test('skopeo pushes and pulls with the credential helper', async () => {
          await pushAndPullBy('docker-credential-registry-token', profile);
        });

        test('so do all three by an OpTok that exists already, bound to the certificate', async () => {
          const { folder, front, environment } = setting;
          const helper = ['docker-credential', 'get'];
          const { stdout } = await runBinary(helper, { input: front.registryHost, env: environment });
          await writeFile(folder.at('op-tok'), JSON.parse(stdout).Secret, { mode: 0o600 });
          const at = (file: string) => folder.at(`.config/registry-token/${file}`);
          const given = {
            opTokPath: folder.at('op-tok'),
            certPath: at('node.crt'),
            keyPath: at('node.key'),
            caPath: setting.certificateAuthority.certificatePath,
            bind,
            registry: front.registryHost,
          };
          await mkdir(folder.at('given/registry-token'), { recursive: true });
          await writeFile(folder.at('given/registry-token/client.yaml'), stringify({ profiles: { given } }));
          for (const text of ['registry-token token', 'registry-token agent', 'docker-credential'])
            await pushAndPullBy(text, 'given', { XDG_CONFIG_HOME: folder.at('given') });
        });
      }

      test('another repository is denied, and the log names the Authority and the rule', async () => {
        const { front, environment } = setting;
        const asked = `repository:other/${profile}:pull`;
        const words = ['token', '--profile', profile, '--scope', asked];
        const { exitCode, stderr } = await runBinary(words, { env: environment });
        expect(exitCode).toBe(1);
        expect(stderr).toContain(`The plan enterprise does not allow ${asked}`);
        await front.waitForLog(
          new RegExp(`"authority":"default".*"rule":"[^"]+".*"${asked}".*"reason":"plan-denied"`),
        );
      });
    });

    if (Object.values(profiles).every(({ bind }) => bind === 'dpop'))
      test('the credential helper says which commands serve tokens that are bound by DPoP', async () => {
        const { front, environment } = setting;
        const helper = ['docker-credential', 'get'];
        const { exitCode, stdout } = await runBinary(helper, { input: front.registryHost, env: environment });
        expect(exitCode).toBe(1);
        expect(stdout).toContain("with DPoP alone, use 'agent' or 'token'");
      });

    more?.(() => setting);
  });
}

/** Writes the profiles that the recipe prints, for servers that are here, and the files that they name. */
async function writeProfiles(
  name: string,
  folder: TemporaryFolder,
  { server, front, secret, node, certificateAuthority }: Parties,
): Promise<void> {
  const registry = front.registryHost;
  const here = Object.entries(recipeProfiles(name)).map(([profile, settings]) => {
    const hosts = settings.hosts === undefined ? {} : { hosts: [registry] };
    const names = {
      authority: server.issuer,
      caPath: certificateAuthority.certificatePath,
      registry,
      ...hosts,
    };
    return [profile, { ...settings, ...names }];
  });
  const configuration = folder.at('.config/registry-token');
  await mkdir(configuration, { recursive: true });
  await writeFile(`${configuration}/client.yaml`, stringify({ profiles: Object.fromEntries(here) }));
  await writeFile(`${configuration}/builder.secret`, secret, { mode: 0o600 });
  await copyFile(node.certificatePath, `${configuration}/node.crt`);
  await copyFile(node.keyPath, `${configuration}/node.key`);
}

interface Parties extends Credentials {
  readonly server: OAuthServer;
  readonly front: OwnTlsFront;
  readonly node: TlsIdentity;
}

describeServer({
  name: 'glewlwyd',
  parts: ['glewlwyd'],
  startServer: ({ secret, certificateAuthority }) => startGlewlwyd(secret, certificateAuthority),
});

describeServer({
  name: 'spring',
  parts: ['java', 'spring'],
  startServer: ({ secret }) => startSpring(recipeBlock('spring', 'There', 'properties', 'issuer='), secret),
});

describeServer({
  name: 'keycloak',
  parts: ['java', 'keycloak'],
  startServer: startKeycloakAsPrinted,
  more: (setting) => {
    const tokenBy = async (profile: object) => {
      const { folder, environment } = setting();
      await writeFile(folder.at('own.yaml'), stringify({ profiles: { own: profile } }));
      const words = ['token', '--profiles', folder.at('own.yaml'), '--profile', 'own', '--scope', SCOPE];
      return runBinary(words, { env: environment });
    };

    const profileOf = (more: object) => {
      const { server, front, certificateAuthority } = setting();
      const caPath = certificateAuthority.certificatePath;
      return { authority: server.issuer, caPath, registry: front.registryHost, bind: 'dpop', ...more };
    };

    test('a client with a key (private_key_jwt) gets a token', async () => {
      const { server, folder } = setting();
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const jwk = createPublicKey(privateKey).export({ format: 'jwk' });
      const keySet = { keys: [{ ...jwk, kid: 'key-1', alg: 'ES256', use: 'sig' }] };
      const { secret, ...printed } = printedClient('builder');
      await server.addClient(
        {
          ...printed,
          clientId: 'with-key',
          clientAuthenticatorType: 'client-jwt',
          attributes: {
            'dpop.bound.access.tokens': 'true',
            'use.jwks.string': 'true',
            'jwks.string': JSON.stringify(keySet),
          },
        },
        ['enterprise'],
      );
      const clientKeyPath = folder.at('client.pem');
      await writeFile(clientKeyPath, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
      const profile = profileOf({ clientId: 'with-key', clientKeyPath, clientKeyId: 'key-1' });
      expect(await tokenBy(profile)).toMatchObject({ exitCode: 0, stderr: '' });
    });

    test('tokens signed with a new key are taken as soon as they come', async () => {
      const { server, folder } = setting();
      const clientSecretPath = folder.at('.config/registry-token/builder.secret');
      const profile = profileOf({ clientId: 'builder', clientSecretPath });
      await server.rotateKey();
      // One unknown kid may cause a fetch each 30 seconds.
      const deadline = Date.now() + 60_000;
      let last = await tokenBy(profile);
      while (last.exitCode !== 0 && Date.now() < deadline) {
        await Bun.sleep(3000);
        last = await tokenBy(profile);
      }
      expect(last).toMatchObject({ exitCode: 0 });
    });
  },
});

/** The settings of a client as the recipe of Keycloak prints them for an import. */
function printedClient(clientId: string): ClientSettings {
  return JSON.parse(recipeBlock('keycloak', 'There', 'json', `"clientId": "${clientId}"`));
}

async function startKeycloakAsPrinted({ secret, certificateAuthority }: Credentials): Promise<Keycloak> {
  const server = await startKeycloak(certificateAuthority);
  await server.addClient({ ...printedClient('builder'), secret }, ['enterprise']);
  await server.addClient(printedClient('node'), ['enterprise']);
  return server;
}
