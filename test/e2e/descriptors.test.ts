/** More connections than the process may have file descriptors, in the real service. */
import { describe, expect, setDefaultTimeout, test } from 'bun:test';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { stringify } from 'yaml';
import { writeCertificate } from '../support/certificates.ts';
import { createKey } from '../support/keys.ts';
import { type Child, createTemporaryFolder, findFreePort, run, start } from '../support/processes.ts';
import { openSocket } from '../support/raw-client.ts';
import { serviceCommand } from '../support/running-service.ts';
import { getRequest } from '../support/tls-client.ts';
import { AUDIENCE, ISSUER, SERVICE } from '../support/tokens.ts';

setDefaultTimeout(120_000);

const LIMIT = 64;
const CONNECTIONS = 150;
/** Of a core. A listener that tries again without a pause takes as much as it can get. */
const IDLE_SHARE = 0.1;

interface LimitedService extends AsyncDisposable {
  readonly child: Child;
  readonly port: number;
  readonly reload: () => Promise<void>;
  /** The status of `/healthz`, over a connection of its own; null where none can be had. */
  readonly health: () => Promise<number | null>;
}

async function startLimited(scheme: 'http' | 'https'): Promise<LimitedService> {
  const folder = await createTemporaryFolder();
  const port = await findFreePort();
  const { privateKey, publicJwk, thumbprint } = await createKey('ES256');
  writeFileSync(folder.at('signing.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
  writeFileSync(folder.at('jwks.json'), JSON.stringify({ keys: [{ ...publicJwk, kid: thumbprint }] }));
  const next = await writeCertificate(folder, 'next-server');
  const { certificatePath, keyPath } = await writeCertificate(folder, 'server');
  const tls = scheme === 'https' ? { tls: { certPath: certificatePath, keyPath } } : {};
  const configuration = {
    server: { listen: `127.0.0.1:${port}`, ...tls },
    authority: { issuer: ISSUER, jwksPath: 'jwks.json', audiences: [AUDIENCE], clockSkew: 0 },
    signing: { issuer: 'registry-token.example.com', keyPath: 'signing.pem' },
    registry: { realm: `${scheme}://127.0.0.1:${port}/token`, allowedServices: [SERVICE] },
    plans: { community: { repositories: [{ pattern: 'public/*' }] } },
    defaultPlan: 'community',
    logging: { format: 'json' },
  };
  writeFileSync(folder.at('registry-token.yaml'), stringify(configuration));
  const words = [...serviceCommand, 'serve', '--config', folder.at('registry-token.yaml')];
  const limits = `ulimit -Hn ${LIMIT} && ulimit -Sn ${LIMIT - 10} && exec "$@"`;
  const child = start(['bash', '-c', `ulimit -Sn ${LIMIT - 10} && ${limits}`, 'bash', ...words]);
  const reloads = () => child.stderr().split('"message":"reloaded"').length;
  await child.waitForLine(/"message":"ready"/);
  return {
    child,
    port,
    reload: async () => {
      const before = reloads();
      copyFileSync(next.certificatePath, certificatePath);
      copyFileSync(next.keyPath, keyPath);
      child.signal('SIGHUP');
      for (let tries = 0; reloads() === before && tries < 300; tries += 1) await Bun.sleep(50);
      expect(
        child
          .stderr()
          .split('\n')
          .filter((line) => line.includes('not reloaded')),
      ).toEqual([]);
      expect(reloads()).toBeGreaterThan(before);
    },
    health: async () => {
      const { stdout } = await run([
        'curl',
        '-sk',
        '-m',
        '5',
        '-o',
        '/dev/null',
        '-w',
        '%{http_code}',
        `${scheme}://127.0.0.1:${port}/healthz`,
      ]);
      return stdout === '000' ? null : Number(stdout);
    },
    [Symbol.asyncDispose]: async () => {
      await child.stop();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** Connections that send this text, or nothing, and are kept. */
class Crowd implements Disposable {
  readonly sockets: readonly Socket[];
  received = '';

  constructor(port: number, tls: boolean, text = '') {
    this.sockets = Array.from({ length: CONNECTIONS }, () => {
      const socket = openSocket({ port, tls });
      socket.on('data', (bytes) => {
        this.received += bytes.toString('latin1');
      });
      if (text !== '') socket.write(text);
      return socket;
    });
  }

  async untilClosed(): Promise<void> {
    const open = () => this.sockets.filter(({ closed }) => !closed).length;
    for (let tries = 0; open() > 0 && tries < 300; tries += 1) await Bun.sleep(100);
    expect(open()).toBe(0);
  }

  [Symbol.dispose](): void {
    for (const socket of this.sockets) socket.destroy();
  }
}

/** Seconds of CPU that the process has used. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function expectIdle({ pid }: Child): Promise<void> {
  const before = cpuSeconds(pid);
  await Bun.sleep(2000);
  expect(cpuSeconds(pid) - before).toBeLessThan(2 * IDLE_SHARE);
}

async function expectHealthy({ health }: LimitedService): Promise<void> {
  let status: number | null = null;
  for (let tries = 0; status !== 200 && tries < 100; tries += 1) {
    await Bun.sleep(200);
    status = await health();
  }
  expect(status).toBe(200);
}

describe.each(['http', 'https'] as const)('a service over %s that runs out of file descriptors', (scheme) => {
  test('has raised its limit to the hard one, and says so', async () => {
    await using service = await startLimited(scheme);
    expect(service.child.stderr()).toContain(`"descriptors":${LIMIT}`);
    expect(readFileSync(`/proc/${service.child.pid}/limits`, 'latin1')).toMatch(
      new RegExp(`^Max open files +${LIMIT} +${LIMIT} `, 'm'),
    );
  });

  test('does not spin, reloads, and answers again, although clients send nothing', async () => {
    await using service = await startLimited(scheme);
    using _crowd = new Crowd(service.port, false);
    await Bun.sleep(1000);
    await expectIdle(service.child);
    // Over TLS the number of connections is bounded before.
    if (scheme === 'http') await service.child.waitForLine(/few file descriptors are left/);
    await service.reload();
    await expectIdle(service.child);
    await expectHealthy(service);
  });

  test('closes its connections after each answer, and answers new clients while old ones stay', async () => {
    await using service = await startLimited(scheme);
    using crowd = new Crowd(service.port, scheme === 'https', getRequest('/healthz'));
    await Bun.sleep(1000);
    await expectHealthy(service);
    expect(crowd.received).toContain('200 OK');
    await crowd.untilClosed();
    await service.reload();
    await expectHealthy(service);
  });
});
