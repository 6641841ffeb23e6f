/** "When it does not work" in README.md and the runbook: each cause brought about, and its text is what the client or the registry prints. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { parse, stringify } from 'yaml';
import { type Containerd, startContainerd } from '../support/containerd.ts';
import { describeAsRoot, describeWith } from '../support/debian-parts.ts';
import { type DockerEngine, startDockerEngine } from '../support/docker-engine.ts';
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

/** Where the runbook's text is the one of the first column, by a part of that text. */
const causes: Readonly<Record<string, Omit<Trouble, 'printed'> & { readonly sections?: Members }>> = {
  'An access token from the Authority is required': { claims: null },
  'The DPoP proof is missing': { claims: {} },
  'The access token is not valid here': { claims: { cnf: undefined, exp: 1 } },
  'does not allow repository:other/app': { repository: 'other' },
  'is revoked': {
    claims: { cnf: undefined, 'stellaops:license': 'LIC-1' },
    sections: { revokedLicenses: ['LIC-1'] },
  },
  'not in registry.allowedServices': { registry: { service: 'other.example.com' } },
  'limits.perSubject': { sections: { limits: { perSubject: '1/h' } } },
  '503 Service Unavailable': { withoutAuthority: true },
  'authentication required': { registry: { issuer: 'other.example.com' } },
  'connection refused': { realm: async () => `http://127.0.0.1:${await findFreePort()}/token` },
  'HTTP response to HTTPS client': { realm: (realm) => realm.replace('http:', 'https:') },
  'no such host': { realm: () => 'http://nohost.invalid/token' },
};

const runbook = readFileSync(new URL('../../etc/README.md', import.meta.url), 'utf8')
  .split('### What clients print')[1]
  ?.split('\n### ')[0];

/** The texts of each client in each row of the runbook's table. */
const rows = [...(runbook ?? '').matchAll(/^\| (`.*?) \| (`.*?) \| (`.*?) \| /gm)].map(([, ...cells]) => {
  const [docker = [], containerd = [], podman = []] = cells.map((cell) =>
    [...cell.replace(/; helm: .*/, '').matchAll(/`([^`]+)`/g)]
      .map(([, text = '']) => text)
      .filter((text) => text !== 'docker login'),
  );
  return { docker, containerd, podman };
});

describeAsRoot(
  ['containerd', 'ctr', 'docker', 'dockerd', 'docker-registry', 'openssl', 'podman', 'skopeo'],
  'what the runbook says that clients print',
  () => {
    const parts = new AsyncDisposableStack();
    let folder: TemporaryFolder;
    let authority: TestKey;
    let sender: TestKey;
    let engine: DockerEngine;
    let containerd: Containerd;

    beforeAll(async () => {
      folder = parts.use(await createTemporaryFolder());
      [authority, sender] = await Promise.all([createKey('ES256'), createKey('ES256')]);
      await runOrFail([BINARY, 'keygen', '--out', folder.path]);
      const jwk = { ...authority.publicJwk, kid: authority.thumbprint };
      await writeFile(folder.at('jwks.json'), JSON.stringify({ keys: [jwk] }));
      engine = parts.use(await startDockerEngine());
      containerd = parts.use(await startContainerd(null));
    });

    afterAll(() => parts.disposeAsync());

    test('is tried out for every row', () => {
      const known = Object.keys(causes);
      const first = rows.map(({ docker }) => docker.join(' '));
      expect(first.map((text) => known.find((part) => text.includes(part)) ?? text)).toEqual(known);
    });

    test.each(Object.entries(causes))('%s', async (text, cause) => {
      const { claims = UNBOUND, repository = 'team', withoutAuthority = false, sections } = cause;
      const keys = withoutAuthority
        ? { metadataUrl: `http://127.0.0.1:${await findFreePort()}/metadata` }
        : { jwksPath: 'jwks.json' };
      await using service = await startMinimal(folder, keys, sections);
      await using registry = await startRegistry({
        realm: (await cause.realm?.(service.realm)) ?? service.realm,
        service: SERVICE,
        issuer: TOKEN_ISSUER,
        rootCertificatePath: folder.at('registry-signing.crt'),
        ...cause.registry,
      });
      const credentials = () => {
        if (claims === null) return null;
        const { header, claims: usual } = opTokMembers(authority, sender, Date.now() / 1000);
        return `any:${signMembers(header, { ...usual, ...claims }, authority)}`;
      };
      const image = `${registry.host}/${repository}/app:1`;
      // One token uses up the rate.
      if (sections !== undefined && 'limits' in sections) await containerd.fetch(image, credentials());

      const row = rows.find(({ docker }) => docker.some((printed) => printed.includes(text)));
      const printedBy = {
        docker: await askDocker(registry.host, image, credentials()),
        containerd: (await containerd.fetch(image, credentials())).stderr,
        podman: await askPodman(image, credentials()),
      };
      for (const client of ['docker', 'containerd', 'podman'] as const)
        for (const printed of row?.[client] ?? []) expect(printedBy[client]).toContain(printed);
    });

    const askDocker = async (host: string, image: string, credentials: string | null) => {
      const configuration = folder.at(`docker-${host}`);
      await mkdir(configuration);
      const auth = credentials === null ? {} : { [host]: { auth: btoa(credentials) } };
      await writeFile(`${configuration}/config.json`, JSON.stringify({ auths: auth }));
      const pulled = await engine.docker(['pull', image], configuration);
      if (credentials === null) return pulled.stderr;
      const words = ['login', '--username', 'any', '--password-stdin', host];
      const input = credentials.slice('any:'.length);
      return pulled.stderr + (await engine.docker(words, configuration, { input })).stderr;
    };

    const askPodman = async (image: string, credentials: string | null) => {
      const places = ['--root', folder.at('podman'), '--runroot', folder.at('podman-run')];
      const store = ['podman', ...places, '--storage-driver', 'vfs', '--events-backend', 'none'];
      const access = credentials === null ? [] : ['--creds', credentials];
      const words = [...store, 'pull', '--tls-verify=false', ...access, image];
      return (await run(words, { env: { HOME: folder.path } })).stderr;
    };
  },
);

/** No binding: a password that every client can send. */
const UNBOUND: Members = { cnf: undefined };

interface Service extends AsyncDisposable {
  readonly realm: string;
}

/** Starts the minimal configuration with another Authority, on loopback, and open to OpToks without a binding. */
async function startMinimal(
  folder: TemporaryFolder,
  authority: Members,
  sections: Members = {},
): Promise<Service> {
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
      ...sections,
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
