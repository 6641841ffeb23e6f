/** "When it does not work" in README.md: each cause brought about, and its text is what the client or the registry prints. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { parse, stringify } from 'yaml';
import { describeWith } from '../support/debian-parts.ts';
import { createHelm } from '../support/helm.ts';
import { writeImage } from '../support/images.ts';
import { createKey, type TestKey } from '../support/keys.ts';
import {
  createTemporaryFolder,
  findFreePort,
  run,
  runOrFail,
  start,
  type TemporaryFolder,
} from '../support/processes.ts';
import { type RegistryOptions, startRegistry } from '../support/registry.ts';
import { BINARY } from '../support/running-service.ts';
import { type Members, opTokMembers, SERVICE, signMembers } from '../support/tokens.ts';

setDefaultTimeout(60_000);

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const TOKEN_ISSUER = 'registry-token.example.com';

interface Trouble {
  /** What README.md prints. */
  readonly printed: string;
  readonly client?: 'skopeo' | 'helm';
  /** Claims in place of those of a good OpTok; null: no credentials. */
  readonly claims?: Members | null;
  readonly repository?: string;
  readonly registry?: Partial<RegistryOptions>;
  /** `auth.token.realm` in place of that of the service. */
  readonly realm?: (realm: string) => string | Promise<string>;
  /** The service has no keys of the Authority. */
  readonly withoutAuthority?: boolean;
}

const troubles: readonly (readonly [string, Trouble])[] = [
  [
    'no credentials',
    { printed: 'unauthorized: An access token from the Authority is required.', claims: null },
  ],
  [
    'an OpTok that is bound by DPoP, as a password',
    {
      printed: 'unauthorized: The DPoP proof is missing or not valid for this request.',
      claims: {},
    },
  ],
  [
    'an OpTok that has expired',
    {
      printed: 'unauthorized: The access token is not valid here, or it is not bound to this client.',
      claims: { cnf: undefined, exp: 1 },
    },
  ],
  [
    'a repository that the plan does not allow, with helm',
    {
      printed: 'denied: The plan team does not allow repository:other/app:pull,push.',
      client: 'helm',
      repository: 'other',
    },
  ],
  [
    'a repository that the plan does not allow, with skopeo',
    { printed: 'invalid status code from registry 403 (Forbidden)', repository: 'other' },
  ],
  [
    'a registry of another service, with helm',
    {
      printed: 'The service "other.example.com" is not in registry.allowedServices.',
      client: 'helm',
      registry: { service: 'other.example.com' },
    },
  ],
  [
    'a registry of another service, with skopeo',
    {
      printed: 'invalid status code from registry 400 (Bad Request)',
      registry: { service: 'other.example.com' },
    },
  ],
  [
    'a registry that expects another issuer, at the client',
    { printed: 'unauthorized: authentication required', registry: { issuer: 'other.example.com' } },
  ],
  [
    'a registry that expects another issuer, in its log',
    {
      printed: 'token from untrusted issuer: "registry-token.example.com"',
      registry: { issuer: 'other.example.com' },
    },
  ],
  [
    'a registry that does not know the signing key, in its log',
    {
      printed: 'x509: certificate signed by unknown authority',
      registry: { rootCertificatePath: 'other/registry-signing.crt' },
    },
  ],
  [
    'a realm where nothing listens',
    {
      printed: 'connect: connection refused',
      realm: async () => `http://127.0.0.1:${await findFreePort()}/token`,
    },
  ],
  [
    'a realm without TLS that is called https',
    {
      printed: 'server gave HTTP response to HTTPS client',
      realm: (realm) => realm.replace('http:', 'https:'),
    },
  ],
  [
    'a service without keys of the Authority',
    { printed: 'invalid status code from registry 503 (Service Unavailable)', withoutAuthority: true },
  ],
];

describeWith(
  ['docker-registry', 'helm', 'openssl', 'skopeo'],
  'what README.md says that clients print',
  () => {
    let folder: TemporaryFolder;
    let authority: TestKey;
    let sender: TestKey;
    let service: Service;
    let withoutAuthority: Service;

    beforeAll(async () => {
      folder = await createTemporaryFolder();
      [authority, sender] = await Promise.all([createKey('ES256'), createKey('ES256')]);
      for (const name of ['.', 'other']) await runOrFail([BINARY, 'keygen', '--out', folder.at(name)]);
      const jwk = { ...authority.publicJwk, kid: authority.thumbprint };
      await writeFile(folder.at('jwks.json'), JSON.stringify({ keys: [jwk] }));
      await writeImage(folder.at('app'));
      await createHelm(folder).makeChart('app');
      service = await startMinimal(folder, { jwksPath: 'jwks.json' });
      const metadataUrl = `http://127.0.0.1:${await findFreePort()}/metadata`;
      withoutAuthority = await startMinimal(folder, { metadataUrl });
    });

    afterAll(async () => {
      for (const part of [service, withoutAuthority, folder]) await part?.[Symbol.asyncDispose]();
    });

    const opTokWith = (members: Members) => {
      const { header, claims } = opTokMembers(authority, sender, Date.now() / 1000);
      return signMembers(header, { ...claims, ...members }, authority);
    };

    const pushWith = (trouble: Trouble, host: string) => {
      const { client = 'skopeo', claims = UNBOUND, repository = 'team' } = trouble;
      const credentials = claims === null ? null : { user: 'any', password: opTokWith(claims) };
      if (client === 'skopeo') {
        const access =
          credentials === null ? ['--dest-no-creds'] : ['--dest-creds', `any:${credentials.password}`];
        const options = ['--insecure-policy', '--dest-tls-verify=false', ...access];
        return run([
          'skopeo',
          'copy',
          ...options,
          `oci:${folder.at('app')}`,
          `docker://${host}/${repository}/app:1`,
        ]);
      }
      const login = ['--username', 'any', '--password', credentials?.password ?? ''];
      const words = [
        'push',
        folder.at('app-1.0.0.tgz'),
        `oci://${host}/${repository}`,
        '--plain-http',
        ...login,
      ];
      return run(['helm', ...words], { env: { HOME: folder.path } });
    };

    test.each(troubles)('%s', async (_, trouble) => {
      const asked = trouble.withoutAuthority === true ? withoutAuthority : service;
      await using registry = await startRegistry({
        realm: (await trouble.realm?.(asked.realm)) ?? asked.realm,
        service: SERVICE,
        issuer: TOKEN_ISSUER,
        ...trouble.registry,
        rootCertificatePath: folder.at(trouble.registry?.rootCertificatePath ?? 'registry-signing.crt'),
      });
      const pushed = await pushWith(trouble, registry.host);
      expect(pushed.exitCode).not.toBe(0);
      // Both write their text in quotes: a quote in it has a backslash before it.
      const output = `${pushed.stderr}${registry.output()}`.replaceAll('\\"', '"');
      expect(output).toContain(trouble.printed);
      expect(readme).toContain(trouble.printed);
    });

    test('and the minimal configuration grants what it should', async () => {
      const rootCertificatePath = folder.at('registry-signing.crt');
      const names = { service: SERVICE, issuer: TOKEN_ISSUER, rootCertificatePath };
      await using registry = await startRegistry({ realm: service.realm, ...names });
      for (const client of ['skopeo', 'helm'] as const)
        expect(await pushWith({ printed: '', client }, registry.host)).toMatchObject({ exitCode: 0 });
    });
  },
);

/** No binding: a password that every client can send. */
const UNBOUND: Members = { cnf: undefined };

interface Service extends AsyncDisposable {
  readonly realm: string;
}

/** Starts the minimal configuration with another Authority, on loopback, and open to OpToks without a binding. */
async function startMinimal(folder: TemporaryFolder, authority: Members): Promise<Service> {
  const port = await findFreePort();
  const realm = `http://127.0.0.1:${port}/token`;
  const minimal = parse(
    readFileSync(new URL('../../etc/registry-token.minimal.yaml', import.meta.url), 'utf8'),
  );
  const path = folder.at(`${port}.yaml`);
  await writeFile(
    path,
    stringify({
      ...minimal,
      server: { listen: `127.0.0.1:${port}` },
      authority: { ...minimal.authority, ...authority },
      senderConstraint: { accept: ['dpop', 'none'] },
      registry: { ...minimal.registry, realm },
    }),
  );
  const child = start([BINARY, 'serve', '--config', path]);
  await child.waitForStatus(`http://127.0.0.1:${port}/healthz`, 200);
  return {
    realm,
    [Symbol.asyncDispose]: async () => {
      await child.stop();
    },
  };
}
