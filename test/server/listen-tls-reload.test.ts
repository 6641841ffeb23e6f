/** A certificate that changes while the service runs. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, setDefaultTimeout, test } from 'bun:test';
import type { TlsMaterial } from '../../src/keys/tls-material.ts';
import { listenTls, type TlsListener } from '../../src/server/listen-tls.ts';
import { describeWith } from '../support/debian-parts.ts';
import { ownSockets } from '../support/own-sockets.ts';
import { createTemporaryFolder, type TemporaryFolder } from '../support/processes.ts';
import { connectTls, getRequest } from '../support/tls-client.ts';
import { createSelfSigned, type TlsIdentity } from '../support/tls-identities.ts';

setDefaultTimeout(30_000);

describeWith(['openssl'], 'a TLS listener that is given new material', () => {
  let folder: TemporaryFolder;
  let first: TlsIdentity;
  let second: TlsIdentity;
  let client: TlsIdentity;
  let listener: TlsListener;

  beforeAll(async () => {
    folder = await createTemporaryFolder();
    first = await createSelfSigned(folder, 'first');
    second = await createSelfSigned(folder, 'second');
    client = await createSelfSigned(folder, 'client');
  });

  beforeEach(() => {
    listener = listenTls({
      host: '127.0.0.1',
      port: 0,
      material: materialOf(first),
      handle: async (request, { certificate }) => {
        if (request.url.endsWith('/slow')) await Bun.sleep(300);
        return new Response(String(certificate?.trusted ?? 'none'));
      },
    });
  });

  afterEach(() => listener.stop(0));

  afterAll(async () => {
    await folder?.[Symbol.asyncDispose]();
  });

  function materialOf(
    { certificate, key }: TlsIdentity,
    clientAuthorities: string | null = null,
  ): TlsMaterial {
    return { certificates: certificate, key, clientAuthorities };
  }

  async function nameOfServer(): Promise<string> {
    using connection = await connectTls(listener.port);
    expect((await connection.get('/')).status).toBe(200);
    return connection.serverName;
  }

  test('shows the new certificate to whoever connects from then on', async () => {
    expect(await nameOfServer()).toBe('first');
    for (const identity of [second, first, second]) {
      await listener.reload(materialOf(identity));
      for (let connection = 0; connection < 5; connection += 1)
        expect(await nameOfServer()).toBe(identity.name);
    }
  });

  test('drops neither a connection that is open nor a request that runs', async () => {
    using kept = await connectTls(listener.port);
    using busy = await connectTls(listener.port);
    await kept.get('/');
    busy.write(getRequest('/slow'));
    await Bun.sleep(50);
    for (const identity of [second, first, second]) {
      await listener.reload(materialOf(identity));
      expect((await kept.get('/')).status).toBe(200);
    }
    expect((await busy.answer()).status).toBe(200);
    expect((await busy.get('/')).status).toBe(200);
  });

  test('judges new clients by the new authorities, and known ones as before', async () => {
    using before = await connectTls(listener.port, client);
    expect((await before.get('/')).body).toBe('true');
    await listener.reload(materialOf(first, second.certificate));
    using after = await connectTls(listener.port, client);
    expect((await after.get('/')).body).toBe('false');
    expect((await before.get('/')).body).toBe('true');
    await listener.reload(materialOf(first, client.certificate));
    using trusted = await connectTls(listener.port, client);
    expect((await trusted.get('/')).body).toBe('true');
  });

  test('keeps what it has where the new material cannot be used', async () => {
    const bad: readonly TlsMaterial[] = [
      { ...materialOf(second), certificates: 'no certificate' },
      { ...materialOf(second), key: 'no key' },
      { ...materialOf(second), key: first.key },
      materialOf(second, 'no certificate'),
    ];
    for (const material of bad) {
      await expect(listener.reload(material)).rejects.toThrow();
      await Bun.sleep(5);
      expect(await nameOfServer()).toBe('first');
    }
    await listener.reload(materialOf(second));
    expect(await nameOfServer()).toBe('second');
  });

  test('leaves no listener behind, and changes nothing for the same material', async () => {
    const listening = () =>
      ownSockets()
        .filter(({ localPort, isListening }) => isListening && localPort === listener.port)
        .map(({ inode }) => inode);
    const before = listening();
    expect(before).toHaveLength(1);
    await listener.reload(materialOf(first));
    expect(listening()).toEqual(before);
    await Promise.all([listener.reload(materialOf(second)), listener.reload(materialOf(first))]);
    expect(listening()).toHaveLength(1);
    expect(listening()).not.toEqual(before);
    expect(await nameOfServer()).toBe('first');
  });

  test('does not come back to life after its stop', async () => {
    await listener.stop(0);
    await listener.reload(materialOf(second));
    await expect(connectTls(listener.port)).rejects.toThrow();
    await Bun.sleep(20);
  });
});
