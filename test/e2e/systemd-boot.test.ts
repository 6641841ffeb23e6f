/** The package under a real systemd as PID 1, from the installation to the purge: one step after the other. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { generateKeyPairSync } from 'node:crypto';
import { cp, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { createSelfSignedCertificate } from '../../src/keys/certificate-authoring.ts';
import { type BootedRoot, bootRoot } from '../support/booted-root.ts';
import { describeAsRoot } from '../support/debian-parts.ts';
import { createDebianRoot, type DebianRoot, RPM_ON_DEBIAN } from '../support/debian-root.ts';
import { writeImage } from '../support/images.ts';
import { createKey, type TestKey } from '../support/keys.ts';
import { makeDeb, makeRpmOf, makeTarballOf, nextPackage } from '../support/made-packages.ts';
import { createTemporaryFolder, findFreePort, isPortFree } from '../support/processes.ts';
import { createRestartableRegistry, type RestartableRegistry } from '../support/restartable-registry.ts';
import { createProcessClient, type ProcessClient } from '../support/service-process.ts';
import { push } from '../support/skopeo.ts';
import { decodePart, ISSUER, REALM, SERVICE } from '../support/tokens.ts';

setDefaultTimeout(300_000);

const UNIT = 'registry-token.service';
const CONFIGURATION = 'etc/registry-token/registry-token.yaml';
const DROP_INS = `etc/systemd/system/${UNIT}.d`;
const EXAMPLES = '/usr/share/doc/registry-token/examples/systemd';
const KEYS = 'etc/registry-token/registry-signing';
const SCOPE = 'repository:public/app:pull';

const reference = await readFile(new URL('../../etc/README.md', import.meta.url), 'utf8');
const folder = await createTemporaryFolder();
afterAll(() => folder[Symbol.asyncDispose]());

let root: DebianRoot;
let machine: BootedRoot;
let deb: string;
let port: number;
let client: ProcessClient;
let authorityKey: TestKey;

const text = (path: string) => readFile(root.at(path), 'utf8');
const write = (path: string, content: string) => writeFile(root.at(path), content);
const edit = async (path: string, from: string | RegExp, to: string) => {
  const before = await text(path);
  const after = before.replace(from, () => to);
  if (after === before) throw new Error(`${path} has no ${from}`);
  await write(path, after);
};
const systemctl = (...words: readonly string[]) => machine.run('systemctl', ...words);
const keygen = (...words: readonly string[]) =>
  machine.run('registry-token', 'keygen', '--out', '/etc/registry-token', ...words);
/** Throws where nothing runs: 0 would be the process group of whoever signals it. */
const mainPid = async () => {
  const pid = await machine.show('MainPID', UNIT);
  if (Number(pid) > 0) return pid;
  throw new Error(`${UNIT} does not run:\n${await journal()}`);
};
/** What the unit logged since it was last asked. */
let logged = 0;
const journal = async () => {
  const { stdout } = await machine.run('journalctl', '--unit', UNIT, '--output=cat', '--no-pager');
  const fresh = stdout.slice(logged);
  logged = stdout.length;
  return fresh;
};
const until = async (what: string, holds: () => Promise<boolean>) => {
  for (const deadline = performance.now() + 90_000; performance.now() < deadline; await Bun.sleep(200))
    if (await holds()) return;
  throw new Error(`${what} did not happen:\n${(await journal()).slice(-3000)}`);
};
/** As a client of RFC 9449 asks: again with the nonce that a service without its former state wants. */
const ask = async (scope = SCOPE, at = `http://127.0.0.1:${port}`) => {
  const opTok = client.opTok();
  const query = new URLSearchParams({ service: SERVICE, scope });
  const send = (claims: Record<string, string> = {}) => {
    const headers = { Authorization: `DPoP ${opTok}`, DPoP: client.proof(opTok, claims) };
    return fetch(`${at}/token?${query}`, { headers, keepalive: false });
  };
  const response = await send();
  const nonce = response.headers.get('dpop-nonce');
  return nonce === null ? response : send({ nonce });
};
const obtain = async (scope = SCOPE) => {
  const response = await ask(scope);
  const body = (await response.json()) as { token?: string };
  if (body.token === undefined) throw new Error(`${response.status}: ${JSON.stringify(body)}`);
  return body.token;
};
/** The commands that a drop-in's comment prints, run as they stand in the folder that has it. */
const install = async (dropIn: string) => {
  const lines = (await text(`${EXAMPLES}/${dropIn}`)).split('\n').filter((line) => line.startsWith('#   '));
  const script = lines.map((line) => line.slice(4)).join('\n');
  return machine.run('sh', '-ec', `cd ${EXAMPLES}\n${script}`);
};
/** Of an authority, ten days after its end. */
const endedCertificate = () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const now = Math.floor(Date.now() / 1000);
  return createSelfSignedCertificate(privateKey, 'ES256', {
    commonName: 'Corporate CA',
    notBefore: now - 20 * 86_400,
    notAfter: now - 10 * 86_400,
  });
};
/** Files, folders and the user of an installation. */
const leftovers = async () => {
  const places = ['/etc', '/usr', '/var/lib', '/var/log'];
  const names = ['-name', '*registry-token*', '-not', '-path', '/var/lib/dpkg/*'];
  const files = await machine.run('find', ...places, ...names);
  const user = await machine.run('getent', 'passwd', 'registry-token');
  return `${files.stdout}${user.stdout}`;
};
/** As if the switch had been made two hours ago. */
const letTwoHoursPass = async () => {
  const then = Date.now() / 1000 - 7200;
  await utimes(root.at(`${KEYS}-last.crt`), then, then);
};

describeAsRoot(
  ['dpkg-deb', 'docker-registry', 'mmdebstrap', 'rpmbuild', 'skopeo', 'systemd-nspawn'],
  'the package under systemd',
  () => {
    beforeAll(async () => {
      [root, deb] = await Promise.all([
        createDebianRoot(['systemd', 'systemd-sysv', 'dbus', 'logrotate', 'rpm']),
        makeDeb(folder),
      ]);
      machine = await bootRoot(root.path);
      port = await findFreePort();
      authorityKey = await createKey('ES256');
      client = await createProcessClient(authorityKey);
    });
    afterAll(async () => {
      await machine?.[Symbol.asyncDispose]();
      await root?.[Symbol.asyncDispose]();
    });

    const dpkgInstall = async (file: string) => {
      await cp(file, root.at('root/package.deb'));
      return machine.run('dpkg', '--install', '/root/package.deb');
    };
    const rpm = (...words: readonly string[]) => machine.run('rpm', ...RPM_ON_DEBIAN, ...words);
    const rpmUpgrade = async (version: string) => {
      await cp(await makeRpmOf(folder, version), root.at('root/package.rpm'));
      return rpm('--upgrade', '/root/package.rpm');
    };
    /** Of the .deb, once it works: the .rpm is installed where nothing is left of it. */
    let configured: string;

    test('before there is a key the start fails once, and says which command makes one', async () => {
      expect(await dpkgInstall(deb)).toMatchObject({ exitCode: 0, stderr: '' });
      expect((await systemctl('start', UNIT)).exitCode).toBe(1);
      expect(await journal()).toContain(
        'no signing key: run registry-token keygen --out /etc/registry-token',
      );
      expect(await machine.show('ActiveState', UNIT)).toBe('failed');
      expect(await machine.show('NRestarts', UNIT)).toBe('0');
    });

    test('keygen and edits later it issues tokens, as a user without any capability', async () => {
      expect(await keygen()).toMatchObject({ exitCode: 0, stderr: '' });
      const known = { ...authorityKey.publicJwk, kid: authorityKey.thumbprint };
      await write('etc/registry-token/authority-jwks.json', JSON.stringify({ keys: [known] }));
      await edit(CONFIGURATION, 'listen: 127.0.0.1:8085', `listen: 127.0.0.1:${port}`);
      await edit(CONFIGURATION, 'issuer: http://127.0.0.1:8086', `issuer: ${ISSUER}`);
      await edit(CONFIGURATION, '# jwksPath: authority-jwks.json', 'jwksPath: authority-jwks.json');
      await edit(CONFIGURATION, /realm: \[.*\]/, `realm: ${REALM}`);
      await edit(CONFIGURATION, 'allowedServices: [registry.localhost]', `allowedServices: [${SERVICE}]`);
      await edit(CONFIGURATION, /issuer: registry-token\.localhost/, 'issuer: registry-token.example.com');
      await edit(CONFIGURATION, '# certificatePath:', 'certificatePath:');
      await edit(CONFIGURATION, 'additionalKeys: []', 'additionalKeys: [registry-signing.crt]');
      await edit(CONFIGURATION, '# auditPath:', 'auditPath:');
      await edit(
        CONFIGURATION,
        '- pattern: stella-ops/public/*',
        '- { pattern: public/*, actions: [pull, push] }',
      );
      expect((await machine.run('registry-token', 'check', '--mistakes')).stderr).toBe('');
      expect(await systemctl('enable', '--now', UNIT)).toMatchObject({ exitCode: 0 });
      expect(decodePart(await obtain(), 1).access).toEqual([
        { type: 'repository', name: 'public/app', actions: ['pull'] },
      ]);
      const status = await machine.run('cat', `/proc/${await mainPid()}/status`);
      expect(status.stdout).toMatch(/^CapEff:\t0+$/m);
      expect(status.stdout).not.toMatch(/^Uid:\t0\t/m);
      expect((await stat(root.at(`${KEYS}.pem`))).mode & 0o777).toBe(0o640);
    });

    test('log shows it from the audit file, to a member of adm too, and from the journal', async () => {
      const log = (...words: readonly string[]) => machine.run(...words, 'log', '--json', '--issued');
      // The first answer asks for a nonce.
      const line = (await text('var/log/registry-token/audit.log')).replace(/^.*"refused"\}\n/gm, '');
      expect(line).toMatch(/^\{.*"issued"\}\n$/);
      expect(await log('registry-token')).toMatchObject({ exitCode: 0, stdout: line });
      const asMember = [
        'setpriv',
        '--reuid=nobody',
        '--regid=nogroup',
        '--groups=adm',
        '--',
        'registry-token',
      ];
      const member = await log(...asMember);
      expect(member).toMatchObject({ exitCode: 0, stdout: line });
      expect(member.stderr).toContain('Reading /var/log/registry-token/audit.log.');
      const fromJournal = await machine.run(
        'registry-token',
        'log',
        '--json',
        '--issued',
        '--unit',
        'registry-token',
      );
      expect(fromJournal.exitCode).toBe(0);
      expect(JSON.parse(fromJournal.stdout).requestId).toBe(JSON.parse(line).requestId);
    });

    test('a reload with mistakes fails, names them, and leaves the service as it was', async () => {
      expect(await systemctl('reload', UNIT)).toMatchObject({ exitCode: 0, stderr: '' });
      const good = await text(CONFIGURATION);
      await edit(CONFIGURATION, 'lifetime: 5m', 'lifetime: 5 moons');
      await journal();
      expect((await systemctl('reload', UNIT)).exitCode).toBe(1);
      expect(await journal()).toMatch(
        /^\/etc\/registry-token\/registry-token\.yaml:\d+:\d+: signing\.lifetime: /m,
      );
      expect(await machine.show('ActiveState', UNIT)).toBe('active');
      expect(await machine.show('StatusText', UNIT)).toContain('the last reload failed');
      expect((await ask()).status).toBe(200);
      await write(CONFIGURATION, good);
      expect(await systemctl('reload', UNIT)).toMatchObject({ exitCode: 0, stderr: '' });
      expect(await machine.show('StatusText', UNIT)).toBe(`listening on http://127.0.0.1:${port}`);
    });

    /**
     * Follows what keygen prints, from --rotate to --finish, while a real registry is pulled from without pause. `afterSwitch`
     * does what --switch prints. Returns the answers to the pulls.
     */
    const rotateUnderLoad = async (afterSwitch: (printed: string) => Promise<void>) => {
      await using registry = await createRestartableRegistry();
      const trust = (certificates: string) => {
        const token = { realm: REALM, service: SERVICE, issuer: 'registry-token.example.com' };
        const rootcertbundle = root.at(certificates);
        return `auth: ${JSON.stringify({ token: { ...token, rootcertbundle } })}\n`;
      };
      await registry.restart(trust(`${KEYS}.crt`));
      await using site = await createTemporaryFolder();
      const image = await writeImage(site.at('image'));
      const pushToken = await obtain('repository:public/app:pull,push');
      expect((await push(image.source, `${registry.host}/public/app:1`, pushToken)).exitCode).toBe(0);

      const pulling = startPulling(registry);
      expect((await keygen('--rotate')).exitCode).toBe(0);
      await registry.restart(trust(`${KEYS}-bundle.crt`));
      const configuration = await text(CONFIGURATION);
      await write(
        CONFIGURATION,
        configuration.replace('[registry-signing.crt]', '[registry-signing-bundle.crt]'),
      );
      expect((await systemctl('reload', UNIT)).exitCode).toBe(0);
      await afterSwitch((await keygen('--switch')).stdout);
      await until('the use of the new key', async () => pulling.keyIds.size === 2);
      expect((await keygen('--finish')).stderr).toContain('tokens of the old key may be valid until');
      await letTwoHoursPass();
      expect(await keygen('--finish')).toMatchObject({ exitCode: 0, stderr: '' });
      await pulling.end();
      await registry.restart(trust(`${KEYS}-bundle.crt`));
      expect(await pullStatus(registry, await obtain())).toBe(200);
      return pulling.statuses;
    };

    test('a rotation as keygen prints it refuses no pull of a real registry, and restarts nothing', async () => {
      const before = await mainPid();
      const statuses = await rotateUnderLoad(async (printed) => {
        expect(printed).toContain('A running service picks it up');
      });
      expect([...statuses.keys()]).toEqual([200]);
      expect(statuses.get(200)).toBeGreaterThan(100);
      expect(await mainPid()).toBe(before);
    });

    test('logrotate gives the audit log a new file, which the group adm can read', async () => {
      expect(await machine.run('logrotate', '--force', '/etc/logrotate.d/registry-token')).toMatchObject({
        exitCode: 0,
        stderr: '',
      });
      await until('a new audit log', async () => {
        await ask();
        const { stdout } = await machine.run(
          'stat',
          '-c',
          '%n %U:%G %a',
          '/var/log/registry-token/audit.log',
        );
        return stdout === '/var/log/registry-token/audit.log registry-token:adm 640\n';
      });
      expect((await machine.run('ls', '/var/log/registry-token')).stdout).toBe('audit.log\naudit.log.1\n');
    });

    test('a service that hangs is killed and started again', async () => {
      await machine.run('mkdir', '--parents', `/${DROP_INS}`);
      await write(`${DROP_INS}/test.conf`, '[Service]\nWatchdogSec=3s\nRestartSec=200ms\n');
      await systemctl('daemon-reload');
      await systemctl('restart', UNIT);
      const hanging = await mainPid();
      await machine.run('sh', '-c', `kill -STOP ${hanging}`);
      await until('a restart', async () => (await machine.show('NRestarts', UNIT)) === '1');
      await until('an answer', async () => (await ask().catch(() => null))?.status === 200);
      expect(await mainPid()).not.toBe(hanging);
      expect(await journal()).toMatch(/Watchdog timeout|watchdog/);
    });

    test('a start that fails again and again is given up', async () => {
      const good = await text(CONFIGURATION);
      // Too seldom for the limit that systemd has by itself: 5 starts in 10 seconds.
      await machine.run('mkdir', '--parents', `/${DROP_INS}`);
      await write(`${DROP_INS}/test.conf`, '[Service]\nRestartSec=2500ms\n');
      await systemctl('daemon-reload');
      await write(CONFIGURATION, good.replace(`listen: 127.0.0.1:${port}`, 'listen: 192.0.2.7:8085'));
      await systemctl('reset-failed', UNIT);
      await systemctl('restart', UNIT);
      await until('an end', async () => (await machine.show('ActiveState', UNIT)) === 'failed');
      expect(Number(await machine.show('NRestarts', UNIT))).toBeLessThanOrEqual(10);
      await write(CONFIGURATION, good);
      await machine.run('rm', `/${DROP_INS}/test.conf`);
      await systemctl('daemon-reload');
      await systemctl('reset-failed', UNIT);
      expect((await systemctl('start', UNIT)).exitCode).toBe(0);
    });

    test('an upgrade whose executable refuses the configuration says so and leaves the old process', async () => {
      const good = await text(CONFIGURATION);
      const before = await mainPid();
      await edit(CONFIGURATION, 'grant: strict', 'grant: sometimes');
      const refused = await dpkgInstall(await nextPackage({ folder }, deb, '9.1'));
      expect(refused.exitCode).toBe(0);
      expect(refused.stderr).toContain('the service was NOT restarted');
      expect(refused.stderr).toContain('registry.grant');
      expect(await mainPid()).toBe(before);
      expect((await ask()).status).toBe(200);
      await write(CONFIGURATION, good);
      const taken = await dpkgInstall(await nextPackage({ folder }, deb, '9.2'));
      expect(taken).toMatchObject({ exitCode: 0, stderr: '' });
      expect(await mainPid()).not.toBe(before);
      expect(await text(CONFIGURATION)).toBe(good);
      expect((await ask()).status).toBe(200);
    });

    test('an upgrade whose check finds an error leaves the old process too, and says how to mend it', async () => {
      const good = await text(CONFIGURATION);
      const before = await mainPid();
      await write('etc/registry-token/ended-ca.pem', endedCertificate());
      await edit(
        CONFIGURATION,
        'jwksPath: authority-jwks.json',
        'jwksPath: authority-jwks.json\n  caPath: ended-ca.pem',
      );
      await until('its reload', async () => (await systemctl('reload', UNIT)).exitCode === 0);
      const refused = await dpkgInstall(await nextPackage({ folder }, deb, '9.3'));
      expect(refused.exitCode).toBe(0);
      expect(refused.stderr).toContain('the service was NOT restarted');
      expect(refused.stderr).toMatch(
        /: error: .*ended-ca\.pem ended on .*\n {4}Add the certificate of its successor/,
      );
      expect(refused.stderr).not.toContain('Stock clients');
      expect(await mainPid()).toBe(before);
      await write(CONFIGURATION, good);
      expect((await systemctl('restart', UNIT)).exitCode).toBe(0);
      expect((await ask()).status).toBe(200);
    });

    test('a port below 1024 needs the drop-in, and works with it as printed', async () => {
      const good = await text(CONFIGURATION);
      const free = await Promise.all([443, 843, 943].map(isPortFree));
      const low = [443, 843, 943][free.indexOf(true)] ?? 443;
      await write(CONFIGURATION, good.replace(`listen: 127.0.0.1:${port}`, `listen: 127.0.0.1:${low}`));
      expect((await systemctl('restart', UNIT)).exitCode).toBe(1);
      expect(await journal()).toMatch(/EACCES|CAP_NET_BIND_SERVICE/);
      expect(await install('low-port.conf')).toMatchObject({ exitCode: 0, stderr: '' });
      expect((await ask(SCOPE, `http://127.0.0.1:${low}`)).status).toBe(200);
      await write(CONFIGURATION, good);
      await systemctl('restart', UNIT);
    });

    test('with the key as a credential, keygen prints the restart that it needs, and the rotation refuses no pull', async () => {
      expect(await install('credential.conf')).toMatchObject({ exitCode: 0, stderr: '' });
      expect((await stat(root.at(`${KEYS}.pem`))).mode & 0o777).toBe(0o600);
      expect(await systemctl('reload', UNIT)).toMatchObject({ exitCode: 0, stderr: '' });
      const before = await mainPid();
      const statuses = await rotateUnderLoad(async (printed) => {
        await letTwoHoursPass();
        expect((await keygen('--finish')).stderr).toContain('does not sign with');
        expect((await ask()).status).toBe(200);
        const [, command = ''] = /(systemctl restart registry-token)$/m.exec(printed) ?? [];
        expect(await machine.run('sh', '-ec', command)).toMatchObject({ exitCode: 0, stderr: '' });
      });
      expect([...statuses.keys()]).toEqual([200]);
      expect(statuses.get(200)).toBeGreaterThan(100);
      expect(await mainPid()).not.toBe(before);
    });

    test('a credential without its file is one failed start that names keygen', async () => {
      await machine.run('mv', `/${KEYS}.pem`, '/root/key.pem');
      expect((await systemctl('restart', UNIT)).exitCode).toBe(1);
      expect(await journal()).toContain(
        'no signing key: run registry-token keygen --out /etc/registry-token',
      );
      expect(await machine.show('ActiveState', UNIT)).toBe('failed');
      await machine.run('mv', '/root/key.pem', `/${KEYS}.pem`);
      expect((await systemctl('restart', UNIT)).exitCode).toBe(0);
    });

    test('remove stops the service and keeps its files; purge leaves nothing', async () => {
      expect(await machine.run('dpkg', '--remove', 'registry-token')).toMatchObject({
        exitCode: 0,
        stderr: '',
      });
      expect(await machine.show('ActiveState', UNIT)).not.toBe('active');
      configured = await text(CONFIGURATION);
      expect(await machine.run('dpkg', '--purge', 'registry-token')).toMatchObject({
        exitCode: 0,
        stderr: '',
      });
      expect(await leftovers()).toBe('');
    });

    test('the .rpm does the same: one failed start that names keygen, then tokens after keygen and the edits', async () => {
      expect(await rpmUpgrade('9.1')).toMatchObject({ exitCode: 0, stderr: '' });
      await journal();
      expect((await systemctl('start', UNIT)).exitCode).toBe(1);
      expect(await journal()).toContain(
        'no signing key: run registry-token keygen --out /etc/registry-token',
      );
      expect(await machine.show('NRestarts', UNIT)).toBe('0');
      const known = { ...authorityKey.publicJwk, kid: authorityKey.thumbprint };
      await write('etc/registry-token/authority-jwks.json', JSON.stringify({ keys: [known] }));
      await write(CONFIGURATION, configured.replace('registry-signing-bundle.crt', 'registry-signing.crt'));
      expect(await keygen()).toMatchObject({ exitCode: 0, stderr: '' });
      expect(await systemctl('enable', '--now', UNIT)).toMatchObject({ exitCode: 0 });
      expect((await ask()).status).toBe(200);
    });

    test('an upgrade of the .rpm whose executable refuses the configuration leaves the old process', async () => {
      const good = await text(CONFIGURATION);
      const before = await mainPid();
      await edit(CONFIGURATION, 'grant: strict', 'grant: sometimes');
      const refused = await rpmUpgrade('9.2');
      expect(refused.exitCode).toBe(0);
      expect(refused.stderr).toContain('the service was NOT restarted');
      expect(refused.stderr).toContain('registry.grant');
      expect(await mainPid()).toBe(before);
      expect((await ask()).status).toBe(200);
      await write(CONFIGURATION, good);
      expect(await rpmUpgrade('9.3')).toMatchObject({ exitCode: 0, stderr: '' });
      expect(await mainPid()).not.toBe(before);
      expect(await text(CONFIGURATION)).toBe(good);
      expect((await ask()).status).toBe(200);
    });

    test('erasing the .rpm stops the service, and keeps the configuration and the key', async () => {
      expect(await rpm('--erase', 'registry-token')).toMatchObject({ exitCode: 0, stderr: '' });
      expect(await machine.show('ActiveState', UNIT)).not.toBe('active');
      expect((await systemctl('is-enabled', UNIT)).exitCode).not.toBe(0);
      expect(await text(CONFIGURATION)).toContain('signing:');
      expect(await machine.run('ls', `/${KEYS}.pem`)).toMatchObject({ exitCode: 0 });
    });

    test('what the reference prints removes the rest of the .rpm', async () => {
      const [, command = ''] = /\| `(rm -r [^`]+userdel registry-token)` \|$/m.exec(reference) ?? [];
      expect(await machine.run('sh', '-ec', command)).toMatchObject({ exitCode: 0, stderr: '' });
      expect(await leftovers()).toBe('');
    });

    test('the tarball serves after the commands that the reference prints', async () => {
      await cp(await makeTarballOf(folder), root.at('root/registry-token.tar.gz'));
      await machine.run(
        'sh',
        '-ec',
        'mkdir /root/unpacked; tar xzf /root/registry-token.tar.gz -C /root/unpacked',
      );
      const [, commands = ''] = /^From the tarball.*?\n```sh\n(.*?)```/ms.exec(reference) ?? [];
      const unpacked = 'cd /root/unpacked/registry-token-*';
      expect(await machine.run('sh', '-ec', `${unpacked}\n${commands}`)).toMatchObject({
        exitCode: 0,
        stderr: '',
      });
      const modes = await machine.run('stat', '-c', '%U:%G %a', `/${CONFIGURATION}`, `/${KEYS}.pem`);
      expect(modes.stdout).toBe('root:registry-token 640\nroot:registry-token 640\n');
      const known = { ...authorityKey.publicJwk, kid: authorityKey.thumbprint };
      await write('etc/registry-token/authority-jwks.json', JSON.stringify({ keys: [known] }));
      await write(CONFIGURATION, configured.replace('registry-signing-bundle.crt', 'registry-signing.crt'));
      expect(await systemctl('enable', '--now', UNIT)).toMatchObject({ exitCode: 0 });
      expect((await ask()).status).toBe(200);
      const log = await machine.run('stat', '-c', '%U:%G %a', '/var/log/registry-token/audit.log');
      expect(log.stdout).toBe('registry-token:adm 640\n');
    });
  },
);

/** null where the registry cannot be reached: it is being restarted. */
async function pullStatus(registry: RestartableRegistry, token: string): Promise<number | null> {
  const headers = { Authorization: `Bearer ${token}`, Accept: 'application/vnd.oci.image.manifest.v1+json' };
  try {
    const response = await fetch(`${registry.url}/v2/public/app/manifests/1`, { headers, keepalive: false });
    await response.body?.cancel();
    return response.status;
  } catch {
    return null;
  }
}

/** Four clients that pull without a pause, each time with a new token, until they are ended. */
function startPulling(registry: RestartableRegistry) {
  const statuses = new Map<number, number>();
  const keyIds = new Set<unknown>();
  let ended = false;
  const loop = async () => {
    while (!ended) {
      // Out of reach while it is restarted; any answer but a token is a failure.
      const response = await ask().catch(() => null);
      if (response !== null) {
        const body = (await response.json()) as { token?: string };
        if (body.token === undefined) throw new Error(`${response.status}: ${JSON.stringify(body)}`);
        keyIds.add(decodePart(body.token, 0).kid);
        const status = await pullStatus(registry, body.token);
        if (status !== null) statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
      await Bun.sleep(5);
    }
  };
  const running = Promise.all([loop(), loop(), loop(), loop()]);
  // Reported by end(); until then it is nobody's.
  running.catch(() => {});
  return {
    statuses,
    keyIds,
    end: async () => {
      ended = true;
      await running;
    },
  };
}
