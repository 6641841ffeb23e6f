/** What `check` says of a registry's trust is what a real registry does, and what it prints can be pasted. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { check } from '../../src/cli/check.ts';
import { keygen } from '../../src/cli/keygen.ts';
import { openSigningKey } from '../../src/keys/signing-key.ts';
import { type CheckSite, createCheckSite, readText } from '../support/check-site.ts';
import { startConfiguredService } from '../support/configured-service.ts';
import { describeWith } from '../support/debian-parts.ts';
import { findFreePort, run, runOrFail, type TemporaryFolder } from '../support/processes.ts';
import { REGISTRY_ENVIRONMENT } from '../support/registry.ts';
import { createRestartableRegistry, type RestartableRegistry } from '../support/restartable-registry.ts';
import { runCommand } from '../support/run-command.ts';

setDefaultTimeout(60_000);

const P256 = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

function makeCertificate({ at }: TemporaryFolder, name: string, ...options: readonly string[]) {
  const names = ['-subj', `/CN=${name}`, '-out', at(`${name}.crt`), '-days', '90'];
  return runOrFail(['openssl', 'req', '-x509', ...names, ...options]);
}

/** `ca.crt`, and `chain.crt`: a certificate of the signing key that an intermediate of the CA has issued. */
async function writeChain(folder: TemporaryFolder): Promise<void> {
  const { at } = folder;
  const issuedBy = (name: string) => ['-CA', at(`${name}.crt`), '-CAkey', at(`${name}.key`)];
  await makeCertificate(folder, 'ca', ...P256, '-keyout', at('ca.key'));
  await makeCertificate(folder, 'middle', ...P256, '-keyout', at('middle.key'), ...issuedBy('ca'));
  await makeCertificate(folder, 'leaf', '-key', at('registry-signing.pem'), ...issuedBy('middle'));
  const chain = ['leaf.crt', 'middle.crt'].map((name) => readText(folder, name));
  writeFileSync(at('chain.crt'), chain.join(''));
}

/** Puts a certificate of the same CA, which ended years ago, in the place of `ca.crt`. */
async function endAuthority({ path, at }: TemporaryFolder): Promise<void> {
  const sections = [
    '[ca]\ndefault_ca=own',
    `[own]\ndatabase=${at('index')}\nserial=${at('serial')}\nnew_certs_dir=${path}\ndefault_md=sha256\npolicy=any`,
    '[any]\ncommonName=supplied',
    '[extensions]\nbasicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\n',
  ];
  writeFileSync(at('ca.cnf'), sections.join('\n'));
  writeFileSync(at('index'), '');
  const key = at('ca.key');
  await runOrFail(['openssl', 'req', '-new', '-key', key, '-subj', '/CN=ca', '-out', at('ca.csr')]);
  const dates = ['-startdate', '20200101000000Z', '-enddate', '20210101000000Z'];
  const files = ['-config', at('ca.cnf'), '-keyfile', key, '-in', at('ca.csr'), '-out', at('ca.crt')];
  const options = ['-batch', '-selfsign', '-notext', '-rand_serial', '-extensions', 'extensions'];
  await runOrFail(['openssl', 'ca', ...options, ...files, ...dates]);
}

/** How a real registry answers a token of the site's service. */
async function askRegistry(registry: RestartableRegistry, site: CheckSite): Promise<number> {
  const { keyPath, certificatePath, keyId } = site.service.signing ?? {};
  const key = await openSigningKey(
    {
      key: readText(site.folder, String(keyPath)),
      password: null,
      certificates: certificatePath === undefined ? null : readText(site.folder, String(certificatePath)),
      keyId: String(keyId ?? 'thumbprint'),
    },
    Date.now() / 1000,
  );
  const now = Math.floor(Date.now() / 1000);
  const { service, issuer } = site.registry.token ?? {};
  const token = await key.sign({
    iss: String(site.service.signing?.issuer ?? issuer),
    sub: 'alice',
    aud: String(service),
    iat: now - 10,
    nbf: now - 10,
    exp: now + 300,
    jti: randomUUID(),
    access: [],
  });
  const response = await fetch(`${registry.url}/v2/`, { headers: { Authorization: `Bearer ${token}` } });
  await response.body?.cancel();
  return response.status;
}

interface Trust {
  readonly title: string;
  /** Of `signing`. */
  readonly signing?: Readonly<Record<string, string | undefined>>;
  readonly bundle: string;
  readonly issuer?: string;
  /** What `check` finds; none of them: the registry takes the token. */
  readonly codes: readonly string[];
  readonly prepare?: (folder: TemporaryFolder) => Promise<unknown>;
}

const withChain = { certificatePath: 'chain.crt' };
const withoutX5c = { certificatePath: undefined };

const trusts: readonly Trust[] = [
  { title: 'the certificate itself', bundle: 'registry-signing.crt', codes: [] },
  {
    title: 'the certificate of another key',
    bundle: 'other/registry-signing.crt',
    codes: ['registry-key-untrusted'],
    prepare: (folder) => runCommand(keygen, ['--out', folder.at('other')]),
  },
  {
    title: 'the bundle of a rotation',
    bundle: 'registry-signing-bundle.crt',
    codes: [],
    prepare: (folder) => runCommand(keygen, ['--out', folder.path, '--rotate']),
  },
  {
    title: 'the CA of a chain',
    signing: withChain,
    bundle: 'ca.crt',
    codes: [],
    prepare: writeChain,
  },
  {
    title: 'the intermediate of a chain',
    signing: withChain,
    bundle: 'middle.crt',
    codes: [],
    prepare: writeChain,
  },
  {
    title: 'another certificate of the same key, while a chain is sent',
    signing: withChain,
    bundle: 'registry-signing.crt',
    codes: ['registry-key-untrusted'],
    prepare: writeChain,
  },
  {
    title: 'the CA of a chain, which has ended',
    signing: withChain,
    bundle: 'ca.crt',
    codes: ['registry-key-untrusted'],
    prepare: async (folder) => {
      await writeChain(folder);
      await endAuthority(folder);
    },
  },
  {
    title: 'the certificate, by libtrust ID without x5c',
    signing: { ...withoutX5c, keyId: 'libtrust' },
    bundle: 'registry-signing.crt',
    codes: [],
  },
  {
    title: 'the certificate, by a kid of our own without x5c',
    signing: { ...withoutX5c, keyId: 'my-key' },
    bundle: 'registry-signing.crt',
    codes: ['key-without-x5c', 'registry-key-untrusted'],
  },
  {
    title: 'the certificate, by thumbprint without x5c',
    signing: withoutX5c,
    bundle: 'registry-signing.crt',
    codes: ['key-without-x5c'],
  },
  {
    title: 'the certificate, and another issuer',
    bundle: 'registry-signing.crt',
    issuer: 'Registry-Token.example.com',
    codes: ['registry-issuer'],
  },
];

describeWith(['docker-registry', 'openssl'], 'a docker-registry 2.8 that trusts', () => {
  test.each(trusts)('$title: check finds $codes, and so does the registry', async (trust) => {
    await using site = await createCheckSite();
    await using registry = await createRestartableRegistry();
    await trust.prepare?.(site.folder);
    Object.assign(site.service.signing ?? {}, trust.signing);
    Object.assign(site.registry.token ?? {}, { rootcertbundle: site.folder.at(trust.bundle) });
    if (trust.issuer !== undefined) Object.assign(site.registry.token ?? {}, { issuer: trust.issuer });
    const findings = await site.findings('--offline');
    expect(findings.map(({ code }) => code)).toEqual([...trust.codes]);
    const auth = `auth: ${JSON.stringify(site.registry)}\n`;
    await registry.restart(auth);
    expect(await askRegistry(registry, site)).toBe(trust.codes.length === 0 ? 200 : 401);
  });
});

describeWith(['docker-registry'], 'the section for registry 2.8 that check prints', () => {
  const setups: [string, readonly string[], (site: CheckSite) => Promise<unknown>][] = [
    ['with a certificate', [], async () => {}],
    ['with an ES384 key', ['--algorithm', 'ES384'], async () => {}],
    ['with an RSA key', ['--algorithm', 'RS256'], async () => {}],
    [
      'by libtrust ID, where only the files of keygen tell the certificate',
      [],
      async (site) =>
        Object.assign(site.service.signing ?? {}, { keyId: 'libtrust', certificatePath: undefined }),
    ],
    [
      'with an issuer and a service that YAML could misread',
      [],
      async (site) => {
        Object.assign(site.service.signing ?? {}, { issuer: 'tokens: "yes" # no' });
        Object.assign(site.service.registry ?? {}, { allowedServices: ['007'] });
        Object.assign(site.registry.token ?? {}, { service: '007' });
      },
    ],
    [
      'during a rotation, before and after the switch',
      [],
      async (site) => {
        await runCommand(keygen, ['--out', site.folder.path, '--rotate']);
        Object.assign(site.service.signing ?? {}, { additionalKeys: ['registry-signing-bundle.crt'] });
      },
    ],
  ];
  test.each(setups)('is one that it takes as it is, %s', async (_, options, prepare) => {
    await using site = await createCheckSite(...options);
    await using registry = await createRestartableRegistry();
    await prepare(site);
    const { stdout } = await site.check('--offline');
    const section = stdout.split('# registry 2.8: config.yml\n')[1]?.split('\n# registry 3.x')[0] ?? '';
    expect(section).toStartWith('auth:\n');
    await registry.restart(section);
    expect(await askRegistry(registry, site)).toBe(200);
    await runCommand(keygen, ['--out', site.folder.path, '--switch']);
    expect(await askRegistry(registry, site)).toBe(200);
  });

  test('is missing for an Ed25519 key, which it would not start with', async () => {
    await using site = await createCheckSite('--algorithm', 'EdDSA');
    const { stdout } = await site.check('--offline');
    expect(stdout).toContain('# registry 2.8 verifies no Ed25519 key');
    expect(stdout.match(/^auth:$/gm)).toHaveLength(1);
  });
});

for (const program of ['docker-registry', 'registry-3.1'] as const)
  describeWith([program, 'openssl'], `${program}, of whose file check`, () => {
    const unusable: [string, (site: CheckSite) => unknown][] = [
      [
        'two kinds of authentication',
        (site) => Object.assign(site.registry, { htpasswd: { realm: 'r', path: '/x' } }),
      ],
      ['no service', (site) => Object.assign(site.registry.token ?? {}, { service: undefined })],
      [
        'autoredirect in quotes',
        (site) => Object.assign(site.registry.token ?? {}, { autoredirect: 'true' }),
      ],
      [
        'a broken certificate',
        (site) => {
          writeFileSync(
            site.folder.at('bad.crt'),
            '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
          );
          Object.assign(site.registry.token ?? {}, { rootcertbundle: site.folder.at('bad.crt') });
        },
      ],
    ];
    test.each(unusable)('says that it does not start with %s, does not start', async (_, breaks) => {
      await using site = await createCheckSite();
      breaks(site);
      const findings = await site.findings('--offline');
      expect(findings.map(({ fault }) => fault)).toEqual([
        expect.stringMatching(/does not start|starts with true/),
      ]);
      const config = site.folder.at('registry.yml');
      const storage = { filesystem: { rootdirectory: site.folder.at('images') } };
      const http = { addr: `127.0.0.1:${await findFreePort()}` };
      writeFileSync(config, JSON.stringify({ version: 0.1, storage, http, auth: site.registry }));
      const { exitCode } = await run([program, 'serve', config], { env: REGISTRY_ENVIRONMENT });
      expect(exitCode).not.toBe(0);
    });

    test('says where autoredirect sends clients, sends them there', async () => {
      await using site = await createCheckSite();
      await using registry = await createRestartableRegistry(program);
      const path = program === 'docker-registry' ? '/auth/token' : '/tokens';
      Object.assign(site.registry.token ?? {}, { autoredirect: true, autoredirectpath: path });
      const [{ fault } = { fault: '' }] = await site.findings('--offline');
      expect(fault).toContain(`clients are sent to https://HOST${path}`);
      await registry.restart(`auth: ${JSON.stringify(site.registry)}\n`);
      const response = await fetch(`${registry.url}/v2/`);
      await response.body?.cancel();
      const { host } = new URL(registry.url);
      expect(response.headers.get('www-authenticate')).toContain(`realm="https://${host}${path}"`);
    });
  });

describeWith(['registry-3.1'], 'registry 3.1 with signingalgorithms', () => {
  test.each([
    ['refuses the tokens of a key whose algorithm is not listed', ['RS256'], ['registry-algorithm'], 401],
    ['takes those of one that is', ['RS256', 'ES256'], [], 200],
  ] as const)('%s, as check says', async (_, signingalgorithms, codes, status) => {
    await using site = await createCheckSite();
    await using registry = await createRestartableRegistry('registry-3.1');
    Object.assign(site.registry.token ?? {}, { signingalgorithms });
    expect((await site.findings('--offline')).map(({ code }) => code)).toEqual([...codes]);
    await registry.restart(`auth: ${JSON.stringify(site.registry)}\n`);
    expect(await askRegistry(registry, site)).toBe(status);
  });
});

test('check finds nothing in a service that runs, and notices where it does not', async () => {
  await using service = await startConfiguredService();
  const realm = [`${service.url}/token`, `http://localhost:${new URL(service.url).port}/auth/token`];
  service.configure({ registry: { realm, allowedServices: ['registry.example.com'] } });
  const options = ['--strict', '--config', service.folder.at('registry-token.yaml')];
  const running = await runCommand(check, options);
  expect(running.stdout).toEndWith(': would start, without findings\n');
  expect(running.exitCode).toBe(0);
  service.configure({
    registry: { realm, allowedServices: ['registry.example.com'] },
    anonymousPlan: 'community',
  });
  service.child.signal('SIGHUP');
  await service.untilReloads('success', 1);
  expect((await runCommand(check, options)).stdout).toEndWith(': would start, with 1 finding (1 warning)\n');
  await service.child.stop();
  const stopped = await runCommand(check, options);
  expect(stopped.exitCode).toBe(1);
  for (const url of realm) expect(stopped.stdout).toContain(`warning: ${url} does not answer`);
});
