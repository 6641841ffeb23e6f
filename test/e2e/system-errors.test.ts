/** What the executable says where the system refuses something: an address, a connection, a file. Each is brought about for real. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { stringify } from 'yaml';
import { LOOPBACK_NAMES, writeCertificate } from '../support/certificates.ts';
import { describeAsRoot } from '../support/debian-parts.ts';
import { createMovableClock } from '../support/movable-clock.ts';
import {
  createTemporaryFolder,
  findFreePort,
  run,
  runOrFail,
  type TemporaryFolder,
} from '../support/processes.ts';
import { BINARY, runBinary, type Section, serviceConfiguration } from '../support/running-service.ts';

setDefaultTimeout(60_000);

const NOBODY = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', '--'];
const YEAR = 365 * 24 * 3600;
const WITHOUT_CAPABILITIES = ['setpriv', '--bounding-set', '-all', '--inh-caps', '-all', '--'];

describeAsRoot(['faketime', 'openssl'], 'a message about the system', () => {
  let folder: TemporaryFolder;
  let occupied: { readonly port: number; readonly stop: () => void };

  beforeAll(async () => {
    folder = await createTemporaryFolder();
    await chmod(folder.path, 0o755);
    await runOrFail([BINARY, 'keygen', '--out', folder.path]);
    await mkdir(folder.at('read-only'));
    const listener = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data: () => {} } });
    occupied = { port: listener.port, stop: () => listener.stop(true) };
  });

  afterAll(async () => {
    occupied?.stop();
    await folder?.[Symbol.asyncDispose]();
  });

  const writeConfiguration = async (sections: Section): Promise<string> => {
    const path = folder.at('registry-token.yaml');
    const options = {
      authorityIssuer: 'http://127.0.0.1:1',
      signing: { keyPath: 'registry-signing.pem' },
      sections,
    };
    await writeFile(path, stringify(serviceConfiguration(options, await findFreePort())));
    return path;
  };

  const addresses: readonly (readonly [string, string | (() => string), string, readonly string[]])[] = [
    [
      'a host name without an address',
      'nohost.invalid:18085',
      'the host name has no address: check the name, DNS and /etc/hosts (ENOTFOUND)',
      [],
    ],
    [
      'an address of another machine',
      '192.0.2.1:18085',
      'this machine does not have that address (EADDRNOTAVAIL)',
      [],
    ],
    [
      'an IPv6 address of another machine',
      '[2001:db8::1]:18085',
      'this machine does not have that address (EADDRNOTAVAIL)',
      [],
    ],
    [
      'an address in use',
      () => `127.0.0.1:${occupied.port}`,
      'another process uses that address (EADDRINUSE)',
      [],
    ],
    [
      'a port below 1024',
      '127.0.0.1:443',
      'ports below 1024 need CAP_NET_BIND_SERVICE: see etc/systemd/low-port.conf (EACCES)',
      WITHOUT_CAPABILITIES,
    ],
  ];

  test.each(addresses)('names %s to listen on', async (_, listen, text, user) => {
    const address = typeof listen === 'string' ? listen : listen();
    for (const workers of [1, 2]) {
      const config = await writeConfiguration({ server: { listen: address, workers } });
      const { exitCode, stderr } = await run([...user, BINARY, 'serve', '--config', config]);
      expect(exitCode).toBe(1);
      expect(stderr).toContain(
        `registry-token serve: cannot listen on ${address}: ${text}; choose another address with --listen\n`,
      );
    }
  });

  const NO_TRUST = 'name a file with that authority (caPath, --ca)';
  const servers: readonly (readonly [string, string, number, 'trusted' | 'untrusted', string])[] = [
    [
      'of an unknown authority',
      LOOPBACK_NAMES,
      0,
      'untrusted',
      `its certificate authority is not trusted (DEPTH_ZERO_SELF_SIGNED_CERT); ${NO_TRUST}`,
    ],
    [
      'for another name',
      'DNS:other.example',
      0,
      'trusted',
      'its certificate is for another name (ERR_TLS_CERT_ALTNAME_INVALID); use a name that is in the certificate, or renew it with this name',
    ],
    [
      'that has expired',
      LOOPBACK_NAMES,
      -YEAR,
      'trusted',
      'its certificate has expired (CERT_HAS_EXPIRED); renew it there; if it is current, set this clock',
    ],
    [
      'of the future',
      LOOPBACK_NAMES,
      YEAR,
      'trusted',
      'its certificate is not valid yet (CERT_NOT_YET_VALID); set the clocks of both machines (NTP)',
    ],
  ];

  test.each(servers)(
    "names the Authority's certificate %s",
    async (_, alternativeNames, offset, trust, text) => {
      await using clock = await createMovableClock();
      clock.move(offset);
      const { environment } = clock;
      const { keyPath, certificatePath } = await writeCertificate(folder, 'server', {
        alternativeNames,
        environment,
      });
      const tls = { key: await readFile(keyPath, 'utf8'), cert: await readFile(certificatePath, 'utf8') };
      using server = stopped(
        Bun.serve({ hostname: '127.0.0.1', port: 0, tls, fetch: () => new Response('{}') }),
      );
      const ca = trust === 'trusted' ? { caPath: certificatePath } : {};
      expect(await checkAuthority(`https://127.0.0.1:${server.port}`, ca)).toContain(
        `did not answer: ${text}.`,
      );
    },
  );

  test('names an Authority that does not answer', async () => {
    using plain = stopped(Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: () => new Response('{}') }));
    const closed = await findFreePort();
    const hangsUp = Bun.listen({
      hostname: '127.0.0.1',
      port: 0,
      socket: { open: (socket) => void socket.end(), data: () => {} },
    });
    const expected = {
      [`https://127.0.0.1:${closed}`]: 'connection refused: nothing listens there (ECONNREFUSED).',
      'https://nohost.invalid':
        'its host name has no address (ENOTFOUND); check the name, DNS and /etc/hosts.',
      [`https://127.0.0.1:${plain.port}`]:
        'the TLS handshake failed (EPROTO); it may not speak TLS on this port, or want a client certificate.',
      [`http://127.0.0.1:${hangsUp.port}`]:
        'it closed the connection (ECONNRESET); it may expect TLS (https) on this port.',
    };
    for (const [issuer, text] of Object.entries(expected))
      expect(await checkAuthority(issuer, {})).toContain(`did not answer: ${text}`);
    hangsUp.stop(true);
  });

  /** What `check` prints about an Authority at this issuer. */
  async function checkAuthority(issuer: string, more: Section): Promise<string> {
    const authority = { issuer, audiences: ['registry'], ...more };
    const { stdout, stderr } = await runBinary([
      'check',
      '--config',
      await writeConfiguration({ authority }),
    ]);
    return stdout + stderr;
  }

  test('names a file that the user may not read', async () => {
    const config = await writeConfiguration({});
    const { exitCode, stderr } = await run([...NOBODY, BINARY, 'serve', '--config', config]);
    expect(exitCode).toBe(78);
    expect(stderr).toContain(
      `signing.keyPath: ${folder.at('registry-signing.pem')} cannot be read: this process (uid 65534) may not read it (EACCES); check the owner and mode of the file and of its folders\n`,
    );
  });

  test('names a file system that is read-only', async () => {
    const config = await writeConfiguration({
      logging: { auditPath: 'read-only/audit.log' },
    });
    const mountFirst = 'mount -t tmpfs -o ro tmpfs "$0" && exec "$@"';
    const inMount = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', mountFirst];
    const serve = [BINARY, 'serve', '--config', config];
    const { exitCode, stderr } = await run([...inMount, folder.at('read-only'), ...serve]);
    expect(exitCode).toBe(78);
    expect(stderr).toContain(
      `logging.auditPath: ${folder.at('read-only/audit.log')} cannot be written: the file system is read-only (EROFS); under systemd only /var/log/registry-token and /var/lib/registry-token are writable (ReadWritePaths= adds more)\n`,
    );
  });

  test.each([
    ['is missing', 'gone.crt', 'no such file (ENOENT)'],
    ['is a directory', '.', 'it is a directory (EISDIR)'],
    ['is below a file', 'registry-signing.crt/x', 'a part of the path is a file, not a directory (ENOTDIR)'],
  ])('names a file that %s', async (_, certificatePath, text) => {
    const config = await writeConfiguration({
      signing: { issuer: 'a', keyPath: 'registry-signing.pem', certificatePath },
    });
    const { exitCode, stderr } = await runBinary(['serve', '--config', config]);
    expect(exitCode).toBe(78);
    expect(stderr).toMatch(/: signing\.certificatePath: .* cannot be read: /);
    expect(stderr).toContain(`cannot be read: ${text}\n`);
  });

  test('names a full disk', async () => {
    const { exitCode, stderr } = await run([
      ...['unshare', '--mount', '--propagation', 'private', 'sh', '-c'],
      'mount -t tmpfs -o size=4k tmpfs "$1" && echo > "$1/fill" && exec "$0" keygen --out "$1"',
      BINARY,
      folder.at('read-only'),
    ]);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(
      /: the disk is full \(ENOSPC\); free space there \(df shows how much is left\)\n$/,
    );
  });
});

function stopped(server: ReturnType<typeof Bun.serve>): Disposable & { readonly port: number } {
  return { port: server.port ?? 0, [Symbol.dispose]: () => void server.stop(true) };
}
