/** `status` and `check --unit` beside the packaged unit under a real systemd: what an operator with a terminal sees. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { chmod, cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { type BootedRoot, bootRoot } from '../support/booted-root.ts';
import { describeAsRoot } from '../support/debian-parts.ts';
import { createDebianRoot, type DebianRoot } from '../support/debian-root.ts';
import { createKey } from '../support/keys.ts';
import { makeDeb, nextPackage } from '../support/made-packages.ts';
import { createTemporaryFolder, findFreePort } from '../support/processes.ts';
import { ISSUER, REALM, SERVICE } from '../support/tokens.ts';

setDefaultTimeout(300_000);

const UNIT = 'registry-token.service';
const CONFIGURATION = 'etc/registry-token/registry-token.yaml';
const DROP_INS = `etc/systemd/system/${UNIT}.d`;

const folder = await createTemporaryFolder();
afterAll(() => folder[Symbol.asyncDispose]());

describeAsRoot(['dpkg-deb', 'mmdebstrap', 'systemd-nspawn'], 'beside the packaged unit', () => {
  let root: DebianRoot;
  let machine: BootedRoot;
  let deb: string;
  let port: number;

  const edit = async (from: string | RegExp, to: string) => {
    const before = await readFile(root.at(CONFIGURATION), 'utf8');
    const after = before.replace(from, () => to);
    if (after === before) throw new Error(`${CONFIGURATION} has no ${from}`);
    await writeFile(root.at(CONFIGURATION), after);
    return before;
  };
  const systemctl = (...words: readonly string[]) => machine.run('systemctl', ...words);
  const status = (...words: readonly string[]) => machine.run('registry-token', 'status', ...words);
  const checkUnit = (...words: readonly string[]) =>
    machine.run('registry-token', 'check', '--unit', 'registry-token', '--offline', ...words);
  /** Until the service has taken, or not taken, what is on disk. */
  const until = async (what: RegExp) => {
    let last = '';
    for (const deadline = performance.now() + 60_000; performance.now() < deadline; await Bun.sleep(200)) {
      last = (await status()).stdout;
      if (what.test(last)) return last;
    }
    throw new Error(`status did not say ${what}:\n${last}`);
  };

  beforeAll(async () => {
    [root, deb] = await Promise.all([
      createDebianRoot(['systemd', 'systemd-sysv', 'dbus', 'iproute2']),
      makeDeb(folder),
    ]);
    machine = await bootRoot(root.path);
    port = await findFreePort();
    await cp(deb, root.at('root/package.deb'));
    expect(await machine.run('dpkg', '--install', '/root/package.deb')).toMatchObject({ exitCode: 0 });
  });
  afterAll(async () => {
    await machine?.[Symbol.asyncDispose]();
    await root?.[Symbol.asyncDispose]();
  });

  test('before the first start, status names the missing key and the command that makes it', async () => {
    const { exitCode, stdout } = await status();
    expect(stdout).toContain('No service answers on unix:/run/registry-token/telemetry.sock');
    expect(stdout).toContain('registry-token.service is inactive');
    expect(stdout).toContain('no signing key: run registry-token keygen --out /etc/registry-token');
    expect(exitCode).toBe(1);
  });

  test('a running service is fine, for root and for the group of the service, and for nobody else', async () => {
    expect((await machine.run('registry-token', 'keygen', '--out', '/etc/registry-token')).exitCode).toBe(0);
    const key = await createKey('ES256');
    const keys = [{ ...key.publicJwk, kid: key.thumbprint }];
    await writeFile(root.at('etc/registry-token/authority-jwks.json'), JSON.stringify({ keys }));
    await edit('listen: 127.0.0.1:8085', `listen: 127.0.0.1:${port}`);
    await edit('issuer: http://127.0.0.1:8086', `issuer: ${ISSUER}`);
    await edit('# jwksPath: authority-jwks.json', 'jwksPath: authority-jwks.json');
    await edit(/realm: \[.*\]/, `realm: ${REALM}`);
    await edit('allowedServices: [registry.localhost]', `allowedServices: [${SERVICE}]`);
    expect(await systemctl('enable', '--now', UNIT)).toMatchObject({ exitCode: 0 });
    expect((await machine.run('stat', '-c', '%U:%G %a', '/run/registry-token/telemetry.sock')).stdout).toBe(
      'registry-token:registry-token 660\n',
    );
    const { exitCode, stdout } = await status();
    expect(stdout).toEndWith('\nfine\n');
    expect(exitCode).toBe(0);
    const as = (user: string, group: string) =>
      machine.run(
        'setpriv',
        `--reuid=${user}`,
        `--regid=${group}`,
        '--clear-groups',
        'registry-token',
        'status',
      );
    expect((await as('nobody', 'registry-token')).exitCode).toBe(0);
    const stranger = await as('nobody', 'nogroup');
    expect(stranger.stdout).toContain('the group registry-token may');
    expect(stranger.exitCode).toBe(1);
  });

  test('check --unit judges by the environment of the unit, which check alone does not know', async () => {
    expect(await checkUnit('--mistakes')).toMatchObject({ exitCode: 0, stderr: '' });
    await mkdir(root.at(DROP_INS), { recursive: true });
    const dropIn = root.at(`${DROP_INS}/lifetime.conf`);
    await writeFile(
      dropIn,
      '[Service]\nOfAnotherSystemd=yes\nEnvironment=REGISTRY_TOKEN_SIGNING__LIFETIME="5 moons"\n',
    );
    await systemctl('daemon-reload');
    expect((await machine.run('registry-token', 'check', '--mistakes')).exitCode).toBe(0);
    const { exitCode, stderr } = await checkUnit('--mistakes');
    expect(stderr).toMatch(/^environment: REGISTRY_TOKEN_SIGNING__LIFETIME: .*\(signing\.lifetime\)$/m);
    expect(exitCode).toBe(78);
    await writeFile(dropIn, '[Service]\nEnvironment=REGISTRY_TOKEN_SIGNING__LIFETIME=6m\n');
    await systemctl('daemon-reload');
    expect((await checkUnit()).stdout).toContain(
      'The environment sets signing.lifetime (REGISTRY_TOKEN_SIGNING__LIFETIME).',
    );
    await machine.run('rm', `/${DROP_INS}/lifetime.conf`);
    await systemctl('daemon-reload');
    expect((await status()).exitCode).toBe(0);
  });

  test("check --unit finds a file that the service's user cannot read, which root can", async () => {
    const file = root.at('etc/registry-token/authority-jwks.json');
    await chmod(file, 0o600);
    expect((await machine.run('registry-token', 'check', '--mistakes')).exitCode).toBe(0);
    const { exitCode, stderr } = await checkUnit('--mistakes');
    expect(stderr).toMatch(/authority-jwks\.json cannot be read: .*\(EACCES\)/);
    expect(exitCode).toBe(78);
    await chmod(file, 0o644);
  });

  test('check --unit ends with 1 where there is no such unit', async () => {
    const { exitCode, stderr } = await machine.run('registry-token', 'check', '--unit', 'other');
    expect(stderr).toContain('systemd has no unit other.service');
    expect(exitCode).toBe(1);
  });

  test('a rotation that the copy of a credential does not follow is named, with the restart that ends it', async () => {
    const example = '/usr/share/doc/registry-token/examples/systemd/credential.conf';
    await machine.run('install', '-D', '-m', '0644', example, `/${DROP_INS}/credential.conf`);
    await machine.run('chown', 'root:root', '/etc/registry-token/registry-signing.pem');
    await machine.run('chmod', '0600', '/etc/registry-token/registry-signing.pem');
    await systemctl('daemon-reload');
    expect((await systemctl('restart', UNIT)).exitCode).toBe(0);
    expect((await status()).stdout).toEndWith('\nfine\n');
    expect(await checkUnit('--mistakes')).toMatchObject({ exitCode: 0, stderr: '' });
    for (const step of ['--rotate', '--switch'])
      await machine.run('registry-token', 'keygen', '--out', '/etc/registry-token', step);
    const said = await until(/^error +signing-key /m);
    expect(said).toContain('/etc/registry-token/registry-signing.pem now holds');
    expect(said).toContain('$ systemctl restart registry-token');
    expect((await systemctl('restart', UNIT)).exitCode).toBe(0);
    expect((await status()).stdout).toEndWith('\nfine\n');
  });

  test('a port that is taken is named with its holder', async () => {
    await systemctl('stop', UNIT);
    const holder = Bun.listen({ hostname: '127.0.0.1', port, socket: { data: () => {} } });
    expect((await systemctl('start', UNIT)).exitCode).toBe(1);
    const { exitCode, stdout } = await status();
    expect(stdout).toContain(`Port ${port} of 127.0.0.1 (server.listen) is taken`);
    expect(stdout).toContain(`$ ss -ltnp 'sport = :${port}'`);
    expect(exitCode).toBe(1);
    holder.stop(true);
    await systemctl('reset-failed', UNIT);
    expect((await systemctl('start', UNIT)).exitCode).toBe(0);
  });

  test('an upgrade keeps the old process where only root can read a file of the configuration', async () => {
    const pid = await machine.show('MainPID', UNIT);
    const file = root.at('etc/registry-token/authority-jwks.json');
    await chmod(file, 0o600);
    await cp(await nextPackage({ folder }, deb, '9.0'), root.at('root/next.deb'));
    const { stderr } = await machine.run('dpkg', '--install', '/root/next.deb');
    expect(stderr).toMatch(/was NOT restarted[\s\S]*authority-jwks\.json cannot be read: .*\(EACCES\)/);
    expect(await machine.show('MainPID', UNIT)).toBe(pid);
    await chmod(file, 0o644);
  });

  test('an upgrade that refuses the configuration is named, with the mistake', async () => {
    const before = await edit('grant: strict', 'grant: sometimes');
    const next = await nextPackage({ folder }, deb, '9.1');
    await cp(next, root.at('root/next.deb'));
    expect((await machine.run('dpkg', '--install', '/root/next.deb')).stderr).toContain('was NOT restarted');
    const said = await until(/^error +configuration +It still runs /m);
    expect(said).toMatch(/registry-token\.yaml:\d+:\d+: registry\.grant: /);
    expect(said).toContain(`$ registry-token check --mistakes --config /${CONFIGURATION}`);
    await writeFile(root.at(CONFIGURATION), before);
    await until(/\nfine\n$/);
  });
});
