/** The packages as an operator meets them: made twice, installed into a fresh Debian, upgraded and purged. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { chmod, cp, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { sha256 } from '../../etc/package/packages.ts';
import { startAuthority } from '../support/authority.ts';
import { createDpopClient } from '../support/authority-client.ts';
import { writeCertificate } from '../support/certificates.ts';
import { inRoot } from '../support/chroot.ts';
import { describeAsRoot } from '../support/debian-parts.ts';
import { createDebianRoot, type DebianRoot } from '../support/debian-root.ts';
import {
  CONFIGURATION,
  createInstallation,
  granted,
  type Installation,
  UNIT,
} from '../support/installation.ts';
import {
  type MadePackages,
  makeAndVerify,
  makeRpmOf,
  nextPackage,
  unpackImage,
} from '../support/made-packages.ts';
import { createMuslRoot } from '../support/musl-root.ts';
import { findFreePort, run, runOrFail, start } from '../support/processes.ts';
import { startRegistry } from '../support/registry.ts';
import { REGISTRY_SERVICE, startService, TOKEN_ISSUER } from '../support/running-service.ts';
import { obtainToken } from '../support/token-request.ts';

// Everything is made twice, on two cores that others may use too.
setDefaultTimeout(900_000);

const SAMPLE = 'usr/share/registry-token/registry-token.yaml';
const etc = new URL('../../etc', import.meta.url).pathname;

/** A development version: there is no tag for a test. */
const VERSION = /^registry-token \d+\.\d+\.\d+\S* \(commit \w{12}, Bun [\d.]+\)\n$/;
/** A package of the bundle, and a library of the runtime. */
const LICENCES = /^--- jose [\s\S]*^--- webkit /m;

let made: MadePackages;
let root: DebianRoot;

describeAsRoot(
  [
    'dpkg',
    'docker-registry',
    'mmdebstrap',
    'musl',
    'openssl',
    'skopeo',
    'qemu-aarch64-static',
    'rpm',
    'rpmbuild',
    'readelf',
    'systemd-analyze',
  ],
  'the packages of this commit',
  () => {
    beforeAll(async () => {
      [made, root] = await Promise.all([makeAndVerify(), createDebianRoot()]);
    });
    afterAll(async () => {
      await made?.[Symbol.asyncDispose]();
      await root?.[Symbol.asyncDispose]();
    });

    test('are the same, byte for byte, when made again, and tell it with the exposure of the unit', () => {
      expect(made.isGood).toBe(true);
      expect(made.lines.join('\n')).toMatch(
        /^reproducible: two builds of \w{12} are byte-identical, 10 files$/m,
      );
      expect(made.lines.join('\n')).toMatch(/^systemd exposure: [01]\.\d of 10/m);
    });

    test('are verified by sha256sum without a network', async () => {
      const checked = await run(['sha256sum', '--check', 'SHA256SUMS'], { cwd: made.folder.at('packages') });
      expect(checked).toMatchObject({ exitCode: 0, stderr: '' });
      expect(checked.stdout.match(/: OK$/gm)).toHaveLength(made.names.length - 1);
    });

    test.each([
      ['linux-amd64.tar', 'X86-64', '/lib64/ld-linux-x86-64.so.2'],
      ['linux-arm64.tar', 'AArch64', '/lib/ld-linux-aarch64.so.1'],
      ['linux-amd64-musl.tar', 'X86-64', '/lib/ld-musl-x86_64.so.1'],
    ])('%s holds an executable for its machine, and what belongs to it', async (name, machine, loader) => {
      const archive = made.file(new RegExp(`-${name.replaceAll('.', '\\.')}\\.gz$`));
      const into = made.folder.at(name);
      await mkdir(into);
      await runOrFail([
        'tar',
        '--extract',
        `--directory=${into}`,
        '--strip-components=2',
        `--file=${archive}`,
      ]);
      const header = await runOrFail([
        'readelf',
        '--file-header',
        '--program-headers',
        `${into}/registry-token`,
      ]);
      expect(header).toMatch(new RegExp(`Machine:.*${machine}`));
      expect(header).toContain(`[Requesting program interpreter: ${loader}]`);
      for (const file of [
        'LICENSE',
        'THIRD-PARTY-LICENSES',
        'README.md',
        'etc/registry-token.yaml',
        'man/registry-token.1',
      ])
        expect(await Bun.file(`${into}/${file}`).exists()).toBe(true);
    });

    describeDeb();
    describeRpm();
    describeImage();
    describeMusl();
  },
);

/** One after the other, as an operator does it over the years. */
function describeDeb() {
  let installation: Installation;
  let before: readonly string[];
  let passwdBefore: string;
  let edited: string;
  let deb: string;

  const passwd = () => readFile(root.at('etc/passwd'), 'utf8');

  beforeAll(async () => {
    deb = made.file(/_amd64\.deb$/);
    installation = await createInstallation(root);
    before = await root.paths();
    passwdBefore = await passwd();
  });
  afterAll(() => installation?.[Symbol.asyncDispose]());

  test('the .deb installs into a fresh Debian, with a user of its own and a configuration that others cannot read', async () => {
    expect(await root.dpkg('--install', deb)).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await passwd()).toMatch(/^registry-token:x:\d+:\d+:.*:\/nonexistent:\/usr\/sbin\/nologin$/m);
    expect((await stat(root.at(CONFIGURATION))).mode & 0o777).toBe(0o640);
    const { stdout } = await root.run('docker-credential-registry-token', 'version');
    expect(stdout).toContain('docker-credential-registry-token');
    expect((await root.run('registry-token', 'version')).stdout).toMatch(VERSION);
    expect(await readFile(root.at('usr/share/doc/registry-token/THIRD-PARTY-LICENSES'), 'utf8')).toMatch(
      LICENCES,
    );
  });

  test('the installed unit has nothing that systemd does not know', async () => {
    const text = await readFile(root.at(UNIT), 'utf8');
    const copy = made.folder.at('registry-token.service');
    await writeFile(copy, text.replace('=/usr/bin/', `=${root.at('usr/bin')}/`));
    expect(await run(['systemd-analyze', 'verify', '--man=no', copy])).toEqual({
      exitCode: 0,
      stdout: '',
      stderr: '',
    });
  });

  test('three edits and keygen are enough to issue a token', async () => {
    edited = await installation.edit();
    const keygen = await root.run('registry-token', 'keygen', '--out', '/etc/registry-token');
    expect(keygen).toMatchObject({ exitCode: 0, stderr: '' });
    expect((await stat(root.at('etc/registry-token/registry-signing.pem'))).mode & 0o777).toBe(0o640);
    expect((await root.run('registry-token', 'check', '--offline')).exitCode).toBe(0);
    expect(await installation.issue()).toEqual(granted);
  });

  test('an upgrade asks nothing, keeps the edited configuration and the key, and issues again', async () => {
    const next = await nextPackage(made, deb, '9.1');
    expect(await root.dpkg('--install', next)).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await readFile(root.at(CONFIGURATION), 'utf8')).toBe(edited);
    expect((await stat(root.at(CONFIGURATION))).mode & 0o777).toBe(0o640);
    expect(await installation.issue()).toEqual(granted);
  });

  test('an upgrade with another sample asks nothing, and lays nothing beside the edited one', async () => {
    const next = await nextPackage(made, deb, '9.2', async (tree) => {
      const text = await readFile(`${tree}/${SAMPLE}`, 'utf8');
      await writeFile(`${tree}/${SAMPLE}`, `${text}# new in 9.2\n`);
    });
    expect(await root.dpkg('--install', next)).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await readFile(root.at(CONFIGURATION), 'utf8')).toBe(edited);
    expect(await readFile(root.at(SAMPLE), 'utf8')).toContain('# new in 9.2');
    const files = await readdir(root.at('etc/registry-token'));
    expect(files.filter((name) => name.includes('.dpkg-'))).toEqual([]);
    expect(await installation.issue()).toEqual(granted);
  });

  test('remove keeps the configuration and the key, and purge leaves nothing, the log included', async () => {
    await mkdir(root.at('var/log/registry-token'), { recursive: true });
    await writeFile(root.at('var/log/registry-token/audit.log'), '{}\n');
    expect(await root.dpkg('--remove', 'registry-token')).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await readFile(root.at(CONFIGURATION), 'utf8')).toBe(edited);
    expect(await Bun.file(root.at('etc/registry-token/registry-signing.pem')).exists()).toBe(true);
    expect(await Bun.file(root.at('usr/bin/registry-token')).exists()).toBe(false);
    expect(await root.dpkg('--purge', 'registry-token')).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await root.paths()).toEqual([...before]);
    expect(await Bun.file(root.at('var/log/registry-token/audit.log')).exists()).toBe(false);
    expect(await passwd()).toBe(passwdBefore);
  });
}

function describeRpm() {
  let own: DebianRoot;
  let installation: Installation;
  let edited: string;

  beforeAll(async () => {
    own = await createDebianRoot();
    installation = await createInstallation(own);
  });
  afterAll(async () => {
    await installation?.[Symbol.asyncDispose]();
    await own?.[Symbol.asyncDispose]();
  });

  test('the .rpm installs into a root of its own, all of it as the package says, with a user of its own', async () => {
    expect(await own.rpm('--install', made.file(/\.x86_64\.rpm$/))).toMatchObject({
      exitCode: 0,
      stderr: '',
    });
    expect(await own.rpm('--verify', 'registry-token')).toEqual({ exitCode: 0, stdout: '', stderr: '' });
    expect(await readFile(own.at('etc/passwd'), 'utf8')).toMatch(
      /^registry-token:x:\d+:\d+:.*:\/nonexistent:\/usr\/sbin\/nologin$/m,
    );
    expect((await stat(own.at(CONFIGURATION))).mode & 0o777).toBe(0o640);
    expect((await own.run('registry-token', 'version')).stdout).toMatch(VERSION);
    expect(await readFile(own.at('usr/share/licenses/registry-token/THIRD-PARTY-LICENSES'), 'utf8')).toMatch(
      LICENCES,
    );
  });

  test('three edits and keygen are enough to issue a token from the .rpm', async () => {
    edited = await installation.edit();
    expect(await own.run('registry-token', 'keygen', '--out', '/etc/registry-token')).toMatchObject({
      exitCode: 0,
      stderr: '',
    });
    expect(await installation.issue()).toEqual(granted);
  });

  test('an upgrade of the .rpm keeps the edited configuration and the key, and issues again', async () => {
    const next = await makeRpmOf(made.folder, '9.1');
    expect(await own.rpm('--upgrade', next)).toEqual({ exitCode: 0, stdout: '', stderr: '' });
    expect(await own.rpm('--verify', 'registry-token-9.1-1')).toEqual({
      exitCode: 0,
      stdout: '',
      stderr: '',
    });
    expect(await readFile(own.at(CONFIGURATION), 'utf8')).toBe(edited);
    expect(await installation.issue()).toEqual(granted);
  });

  test('erasing the .rpm keeps the configuration and the key, and nothing else', async () => {
    expect(await own.rpm('--erase', 'registry-token')).toEqual({ exitCode: 0, stdout: '', stderr: '' });
    const left = (await own.paths()).filter((path) => path.includes('registry-token'));
    expect(left.filter((path) => !/^\.\/(etc|var\/lib)\/registry-token/.test(path))).toEqual([]);
    expect(await readFile(own.at(CONFIGURATION), 'utf8')).toBe(edited);
    expect(await Bun.file(own.at('etc/registry-token/registry-signing.pem')).exists()).toBe(true);
  });
}

function describeImage() {
  test.each(['amd64', 'arm64'])(
    'the image for %s is what runs and nothing else, for a user that is not root',
    async (name) => {
      const { root, config, architecture, rootfs, diffIds } = await unpackImage(
        made,
        made.file(/\.oci\.tar$/),
        name,
      );
      expect(architecture).toBe(name);
      expect(config).toMatchObject({ User: '65532:65532', Entrypoint: ['/usr/bin/registry-token'] });
      expect(config.Labels['org.opencontainers.image.licenses']).toBe('Apache-2.0');
      expect(rootfs.diff_ids).toEqual(diffIds);
      const [loader, folder] =
        name === 'amd64'
          ? ['lib64/ld-linux-x86-64.so.2', 'lib/x86_64-linux-gnu']
          : ['lib/ld-linux-aarch64.so.1', 'lib/aarch64-linux-gnu'];
      const files = await runOrFail(['find', '.', '-type', 'f', '-printf', '%P\n'], { cwd: root });
      expect(files.trim().split('\n').sort()).toEqual(
        [
          ...['etc/group', 'etc/passwd', 'etc/ssl/certs/ca-certificates.crt', loader],
          ...['libc.so.6', 'libdl.so.2', 'libm.so.6', 'libpthread.so.0'].map((file) => `${folder}/${file}`),
          ...['usr/bin/registry-token', 'usr/share/doc/libc6/copyright'],
          ...['LICENSE', 'THIRD-PARTY-LICENSES'].map((file) => `usr/share/doc/registry-token/${file}`),
        ].sort(),
      );
      await mkdir(`${root}/proc`);
      const emulator = name === 'arm64' ? ['/qemu-aarch64-static'] : [];
      if (name === 'arm64') await cp(Bun.which('qemu-aarch64-static') ?? '', `${root}/qemu-aarch64-static`);
      const command = [...emulator, ...config.Entrypoint, 'version'];
      const version = await run(inRoot(root, command, { user: config.User }));
      expect(version.stdout).toMatch(VERSION);
      // The tarball has the same executable.
      const unpacked = made.folder.at(`linux-${name}.tar/registry-token`);
      expect(await sha256(`${root}/usr/bin/registry-token`)).toBe(await sha256(unpacked));
    },
  );

  test('the image is pushed to a registry that trusts our tokens, both architectures at once', async () => {
    const { keyPath, certificatePath } = await writeCertificate(made.folder, 'registry-signing');
    await using authority = await startAuthority({ clients: [{ id: 'builder', plan: 'enterprise' }] });
    const signing = { keyPath, certificatePath };
    await using service = await startService({ authorityIssuer: authority.issuer, signing });
    await using registry = await startRegistry({
      realm: service.realm,
      service: REGISTRY_SERVICE,
      issuer: TOKEN_ISSUER,
      rootCertificatePath: certificatePath,
    });
    const client = await createDpopClient(authority, 'builder');
    const scopes = ['repository:team-a/registry-token:pull,push'];
    const token = await obtainToken(service.realm, client, scopes);
    const image = `docker://${registry.host}/team-a/registry-token:1`;
    const archive = `oci-archive:${made.file(/\.oci\.tar$/)}`;
    const target = ['--all', '--dest-tls-verify=false', '--dest-registry-token', token];
    await runOrFail(['skopeo', 'copy', '--insecure-policy', ...target, archive, image]);
    for (const architecture of ['amd64', 'arm64']) {
      const choice = [`--override-arch=${architecture}`, '--tls-verify=false', '--registry-token', token];
      const inspected = JSON.parse(
        await runOrFail(['skopeo', ...choice.slice(0, 1), 'inspect', ...choice.slice(1), image]),
      );
      expect(inspected).toMatchObject({ Architecture: architecture, Os: 'linux' });
    }
  });

  test('the image serves as it stands, with the configuration where it looks for it', async () => {
    const root = made.folder.at('rootfs-amd64');
    for (const file of ['registry-token.yaml', 'registry-signing-sample.pem'])
      await cp(`${etc}/${file}`, `${root}/etc/registry-token/${file}`);
    await chmod(`${root}/etc/registry-token/registry-signing-sample.pem`, 0o644);
    const { stdout } = await run([
      'skopeo',
      'inspect',
      '--config',
      `oci-archive:${made.file(/\.oci\.tar$/)}`,
    ]);
    const { User, Entrypoint, Cmd } = JSON.parse(stdout).config;
    const listen = `127.0.0.1:${await findFreePort()}`;
    const command = [...Entrypoint, ...Cmd, '--listen', listen];
    await using service = start(inRoot(root, command, { user: User }));
    await service.waitForStatus(`http://${listen}/healthz`, 200);
    expect(await service.stop()).toBe(0);
  });
}

/** The least version that the reference names is 1.2.4, which no package registry has: tried by hand. */
function describeMusl() {
  const executable = () => made.folder.at('linux-amd64-musl.tar/registry-token');

  test('the executable for musl serves with musl 1.2.5', async () => {
    const root = await createMuslRoot(made.folder, '1.2.5', executable());
    expect((await run(inRoot(root, ['/usr/bin/registry-token', 'version']))).stdout).toMatch(VERSION);
    for (const file of ['registry-token.yaml', 'registry-signing-sample.pem'])
      await cp(`${etc}/${file}`, `${root}/etc/registry-token/${file}`);
    const listen = `127.0.0.1:${await findFreePort()}`;
    await using service = start(inRoot(root, ['/usr/bin/registry-token', 'serve', '--listen', listen]));
    await service.waitForStatus(`http://${listen}/healthz`, 200);
    const keys = (await (await fetch(`http://${listen}/.well-known/jwks.json`)).json()) as {
      keys: unknown[];
    };
    expect(keys.keys).toHaveLength(1);
    expect(await service.stop()).toBe(0);
  });

  test('the executable for musl crashes with musl 1.2.3, as the reference says', async () => {
    const root = await createMuslRoot(made.folder, '1.2.3', executable());
    const crashed = await run(inRoot(root, ['/usr/bin/registry-token', 'version']));
    expect(crashed.exitCode).not.toBe(0);
    expect(crashed.stdout).toBe('');
    const reference = await readFile(`${etc}/README.md`, 'utf8');
    expect(reference).toContain('musl 1.2.4 (1.2.3 crashes)');
  });
}
