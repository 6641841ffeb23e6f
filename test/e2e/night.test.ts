/**
 * What goes wrong at three in the morning: for each, `status` or `log` alone names the cause and the command to run next.
 * Three more are tested under a real systemd, in systemd-status.test.ts: a forgotten rotation, a port, a refused upgrade.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { createPrivateKey } from 'node:crypto';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { createSelfSignedCertificate } from '../../src/keys/certificate-authoring.ts';
import { type ConfiguredService, startConfiguredService } from '../support/configured-service.ts';
import { describeWith } from '../support/debian-parts.ts';
import { KEY_SET_PATH, METADATA_PATH, startFaultyAuthority } from '../support/faulty-authority.ts';
import { createKey } from '../support/keys.ts';
import { createTemporaryFolder, findFreePort, run, runOrFail, start } from '../support/processes.ts';
import { openSocket } from '../support/raw-client.ts';
import { startRedis } from '../support/redis.ts';
import { type Section, serviceCommand } from '../support/running-service.ts';
import { createCertificateAuthority } from '../support/tls-identities.ts';
import { AUDIENCE, ISSUER } from '../support/tokens.ts';

setDefaultTimeout(120_000);

const telemetry = { listen: 'unix:telemetry.sock' };

const command = (name: string, file: string, args: readonly string[] = []) =>
  run([...serviceCommand, name, '--config', file, ...args]);

/** Asks `status` until it says so, and returns what it printed. */
async function untilStatus(file: string, what: RegExp): Promise<string> {
  let last = '';
  for (const deadline = performance.now() + 60_000; performance.now() < deadline; await Bun.sleep(100)) {
    const { exitCode, stdout } = await command('status', file);
    last = stdout;
    if (!what.test(stdout)) continue;
    expect(exitCode).toBe(1);
    return stdout;
  }
  throw new Error(`status did not say ${what}:\n${last}`);
}

const night = async (sections: Section = {}) => {
  const service = await startConfiguredService({ telemetry, ...sections });
  return { service, file: service.folder.at('registry-token.yaml') };
};

describe('status names the cause and the next command', () => {
  test('of a rotation that the running service has not followed', async () => {
    const { service, file } = await night();
    await using _ = service;
    // As a credential of systemd is: a copy, made at the start.
    const copy = service.folder.at('copy.pem');
    const other = service.folder.at('other.yaml');
    writeFileSync(copy, readFileSync(service.folder.at('registry-signing.pem')));
    const usual = JSON.parse(readFileSync(file, 'utf8'));
    const { certificatePath: _path, ...signing } = usual.signing;
    const listen = `127.0.0.1:${await findFreePort()}`;
    const changed = { ...usual, server: { listen }, telemetry: { listen: 'unix:other.sock' }, signing };
    writeFileSync(other, JSON.stringify(changed));
    await using copied = start([...serviceCommand, 'serve', '--config', other], {
      env: { REGISTRY_TOKEN_SIGNING__KEY_PATH: copy },
    });
    await copied.waitForStatus(`http://${listen}/readyz`, 200);
    expect((await command('status', other)).stdout).toEndWith('\nfine\n');
    for (const step of ['--rotate', '--switch'])
      await runOrFail([...serviceCommand, 'keygen', '--out', service.folder.path, step]);
    const said = await untilStatus(other, /^error +signing-key /m);
    expect(said).toContain(`but ${service.folder.at('registry-signing.pem')} now holds`);
    expect(said).toContain('$ systemctl restart registry-token');
    // The other service reads the file itself: it follows.
    await service.untilReloads('success', 1);
    expect((await command('status', file)).stdout).toMatch(/^ok +signing-key /m);
  });

  test('of a certificate that ended', async () => {
    const { service, file } = await night();
    await using _ = service;
    const key = createPrivateKey(readFileSync(service.folder.at('registry-signing.pem'), 'utf8'));
    const now = Math.floor(Date.now() / 1000);
    const certificate = createSelfSignedCertificate(key, 'ES256', {
      commonName: 'registry-token signing',
      notBefore: now - 86_400,
      // Later than the reload that takes it, also on a machine that is busy.
      notAfter: now + 20,
    });
    writeFileSync(service.folder.at('registry-signing.crt'), certificate);
    await service.untilReloads('success', 1);
    const said = await untilStatus(file, /^error +signing-certificate /m);
    expect(said).toMatch(/registry-signing\.crt ended on \S+: registries refuse every token that carries it/);
    expect(said).toContain(`$ registry-token keygen --out ${service.folder.path} --rotate`);
  });

  test("of a clock that is ten minutes behind the Authority's", async () => {
    const key = await createKey('ES256');
    await using authority = await startFaultyAuthority([key]);
    authority.behave({
      metadata: (response) => {
        const ahead = new Date(Date.now() + 600_000).toUTCString();
        response.writeHead(200, { 'Content-Type': 'application/json', Date: ahead });
        response.end(JSON.stringify({ issuer: ISSUER, jwks_uri: `${authority.origin}${KEY_SET_PATH}` }));
      },
      keySet: (response) => {
        const ahead = new Date(Date.now() + 600_000).toUTCString();
        response.writeHead(200, { 'Content-Type': 'application/json', Date: ahead });
        response.end(JSON.stringify({ keys: [{ ...key.publicJwk, kid: key.thumbprint }] }));
      },
    });
    const { service, file } = await night({
      authority: { issuer: ISSUER, metadataUrl: authority.metadataUrl, audiences: [AUDIENCE] },
    });
    await using _ = service;
    const said = await untilStatus(file, /^error +clock /m);
    expect(said).toContain("This machine's clock is 10 min behind that of authority");
    expect(said).toContain('$ timedatectl set-ntp true');
  });

  test('of a full disk', async () => {
    const { service, file } = await night({
      logging: { level: 'warn', format: 'json', auditPath: '/dev/full' },
    });
    await using _ = service;
    await service.ask('repository:public/a:pull');
    const said = await untilStatus(file, /^error +audit-file /m);
    expect(said).toContain('/dev/full cannot be written: the disk is full (ENOSPC)');
    expect(said).toContain('$ df -h /dev/full');
  });

  test('of a revocation list of which half was copied', async () => {
    const { service, file } = await night();
    await using _ = service;
    const list = service.folder.at('revoked.txt');
    writeFileSync(list, 'L-1\nL-2\nL-3\n');
    service.configure({ telemetry, revokedLicensesPath: 'revoked.txt' });
    await service.untilReloads('success', 1);
    writeFileSync(list, 'L-1\nL-');
    await service.untilReloads('failure', 1);
    const said = await untilStatus(file, /^error +revocations /m);
    expect(said).toContain(`The former list with 3 revoked licences stays in force: ${list}:2:`);
    expect(said).toContain(`$ registry-token check --mistakes --config ${file}`);
  });

  test('of descriptors that are out', async () => {
    const { service, file } = await night();
    await using _ = service;
    const other = service.folder.at('few.yaml');
    const port = await findFreePort();
    const usual = JSON.parse(readFileSync(file, 'utf8'));
    const few = { ...usual, server: { listen: `127.0.0.1:${port}` }, telemetry: { listen: 'unix:few.sock' } };
    writeFileSync(other, JSON.stringify(few));
    const words = [...serviceCommand, 'serve', '--config', other];
    await using child = start(['bash', '-c', 'ulimit -n 64 && exec "$@"', 'bash', ...words]);
    await child.waitForStatus(`http://127.0.0.1:${port}/readyz`, 200);
    const sockets = Array.from({ length: 150 }, () => openSocket({ port, tls: false }));
    try {
      const said = await untilStatus(other, /^(?:error|warning) +descriptors /m);
      expect(said).toMatch(/\d+ of 64 in use: .*Raise LimitNOFILE/);
      expect(said).toMatch(/\$ ss -tnp/);
    } finally {
      for (const socket of sockets) socket.destroy();
    }
  });
});

describeWith(['redis-server'], 'status names the cause and the next command', () => {
  test('of a Redis that is gone', async () => {
    await using redis = await startRedis();
    const { service, file } = await night({
      senderConstraint: { replay: { store: 'redis', url: redis.url } },
    });
    await using _ = service;
    expect((await command('status', file)).stdout).toMatch(/^ok +replay-store +In Redis/m);
    await redis.stop();
    const said = await untilStatus(file, /^error +replay-store /m);
    expect(said).toContain('so DPoP requests are answered 503: no connection to Redis');
    expect(said).toContain('$ systemctl start redis-server');
  });
});

describeWith(['openssl'], 'status names the cause and the next command', () => {
  test('of an Authority whose certificate is of another authority than before', async () => {
    await using folder = await createTemporaryFolder();
    const [before, after] = [
      await createCertificateAuthority(folder, 'corporate-2025'),
      await createCertificateAuthority(folder, 'corporate-2026'),
    ];
    const [first, second] = [await before.issue('authority-a'), await after.issue('authority-b')];
    const key = await createKey('ES256');
    const port = await findFreePort();
    const origin = `https://127.0.0.1:${port}`;
    const serve = ({ certificate, key: serverKey }: { certificate: string; key: string }) =>
      Bun.serve({
        hostname: '127.0.0.1',
        port,
        tls: { cert: certificate, key: serverKey },
        fetch: ({ url }) =>
          new URL(url).pathname === METADATA_PATH
            ? Response.json({ issuer: ISSUER, jwks_uri: `${origin}${KEY_SET_PATH}` })
            : Response.json({ keys: [{ ...key.publicJwk, kid: key.thumbprint }] }),
      });
    let server = serve(first);
    const caPath = before.certificatePath;
    const authority = {
      issuer: ISSUER,
      metadataUrl: `${origin}${METADATA_PATH}`,
      audiences: [AUDIENCE],
      caPath,
    };
    const { service, file } = await night({ authority });
    await using _ = service;
    expect((await command('status', file)).stdout).toMatch(/^ok +authority +Keys of /m);
    await server.stop(true);
    server = serve(second);
    try {
      // A reload fetches the keys anew, as their age would in time.
      service.child.signal('SIGHUP');
      const said = await untilStatus(file, /^warning +authority +The last fetch failed: /m);
      expect(said).toContain(`${caPath} (authority.caPath) does not hold the certificate authority`);
      expect(said).toContain(`$ openssl s_client -showcerts -connect 127.0.0.1:${port}`);
      // What that command shows is added to the file that the sentence names.
      appendFileSync(caPath, after.certificate);
      service.child.signal('SIGHUP');
      await service.untilReloads('success', 2);
      for (let tries = 0; ; tries += 1) {
        const { stdout } = await command('status', file);
        if (/^ok +authority +Keys of /m.test(stdout)) break;
        if (tries > 200) throw new Error(stdout);
        await Bun.sleep(100);
      }
    } finally {
      await server.stop(true);
    }
  });
});

describe('log names the cause and the next command', () => {
  let service: ConfiguredService;
  let file: string;
  beforeAll(async () => {
    ({ service, file } = await night({ logging: { level: 'warn', format: 'json', auditPath: 'audit.log' } }));
  });
  afterAll(() => service?.[Symbol.asyncDispose]());

  const untilLogged = async (response: Response) => {
    const id = response.headers.get('x-request-id') ?? '';
    const audit = service.folder.at('audit.log');
    for (let tries = 0; !readFileSync(audit, 'utf8').includes(id); tries += 1) {
      if (tries > 500) throw new Error('The decision is not in the file.');
      await Bun.sleep(20);
    }
  };

  test('of a realm that clients know under another name', async () => {
    const response = await service.ask(
      'repository:public/a:pull',
      {},
      { htu: 'https://old.example.com/token' },
    );
    expect(response.status).toBe(401);
    await untilLogged(response);
    const { stdout } = await command('log', file, ['--reason', 'proof-url']);
    expect(stdout).toContain('https://old.example.com/token');
    expect(stdout).toMatch(/what to do +Add the URL that clients use to `registry\.realm`/);
  });

  test('of the customer who was denied', async () => {
    const response = await service.ask('repository:customers/x/app:pull', { 'stellaops:license': 'X-17' });
    expect(response.status).toBe(403);
    await untilLogged(response);
    const { stdout } = await command('log', file, ['--denied', '--license', 'X-17']);
    expect(stdout).toMatch(/licence +X-17/);
    expect(stdout).toMatch(/plan +community, chosen by default/);
    expect(stdout).toMatch(/asked +repository:customers\/x\/app:pull/);
    expect(stdout).toMatch(
      /try +registry-token explain .*--plan community .*repository:customers\/x\/app:pull/,
    );
  });
});
