/** A certificate that changes while the service runs. */
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from 'bun:test';
import type { TlsMaterial } from '../../src/keys/tls-material.ts';
import { listenTls, type TlsListener } from '../../src/server/listen-tls.ts';
import { describeWith } from '../support/debian-parts.ts';
import { ownSockets } from '../support/own-sockets.ts';
import { createTemporaryFolder, type TemporaryFolder, wallClock } from '../support/processes.ts';
import { connectTls, getRequest, type HttpAnswer } from '../support/tls-client.ts';
import {
  type CertificateAuthority,
  createCertificateAuthority,
  createSelfSigned,
  type TlsIdentity,
} from '../support/tls-identities.ts';

setDefaultTimeout(30_000);

describeWith(['openssl'], 'a TLS listener that is given new material', () => {
  let folder: TemporaryFolder;
  let first: TlsIdentity;
  let second: TlsIdentity;
  let client: TlsIdentity;
  let authority: CertificateAuthority;
  let otherAuthority: CertificateAuthority;
  let alice: TlsIdentity;
  let listener: TlsListener;
  let secondsAhead = 0;

  beforeAll(async () => {
    folder = await createTemporaryFolder();
    first = await createSelfSigned(folder, 'first');
    second = await createSelfSigned(folder, 'second');
    client = await createSelfSigned(folder, 'client');
    authority = await createCertificateAuthority(folder, 'authority');
    otherAuthority = await createCertificateAuthority(folder, 'other-authority');
    alice = await authority.issue('alice', { days: 10 });
  });

  beforeEach(() => {
    secondsAhead = 0;
    listener = listenTls({
      host: '127.0.0.1',
      port: 0,
      material: materialOf(first),
      clock: () => wallClock() + secondsAhead,
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

  function expectLast({ status, head }: HttpAnswer): void {
    expect({ status, head }).toEqual({ status: 200, head: expect.stringMatching(/^connection: close$/im) });
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

  test('answers what runs and what comes over open connections, and closes each with that answer', async () => {
    for (const identity of [second, first]) {
      using kept = await connectTls(listener.port);
      using busy = await connectTls(listener.port);
      await kept.get('/');
      busy.write(getRequest('/slow'));
      await Bun.sleep(50);
      await listener.reload(materialOf(identity));
      for (const answer of [await kept.get('/'), await busy.answer()]) expectLast(answer);
      await Promise.all([kept.closed, busy.closed]);
      using next = await connectTls(listener.port);
      expect((await next.get('/')).head).not.toMatch(/^connection: close$/im);
    }
  });

  test('closes open connections also where only the authorities of clients are others', async () => {
    using kept = await connectTls(listener.port);
    await kept.get('/');
    await listener.reload(materialOf(first, authority.certificate));
    expectLast(await kept.get('/'));
    await kept.closed;
  });

  test('answers a client that half-closes over a connection from before', async () => {
    using busy = await connectTls(listener.port, null, { allowHalfOpen: true });
    using late = await connectTls(listener.port, null, { allowHalfOpen: true });
    busy.socket.end(getRequest('/slow'));
    await Bun.sleep(50);
    await listener.reload(materialOf(second));
    late.socket.end(getRequest('/slow'));
    for (const connection of [busy, late]) {
      expectLast(await connection.answer());
      await connection.closed;
    }
  });

  describe('a client certificate, over a connection that is open', () => {
    /** What the listener finds of the certificate of a connection that was made under the first authorities. */
    async function verdicts(before: string | null, after: string | null, identity: TlsIdentity) {
      await listener.reload(materialOf(first, before));
      using connection = await connectTls(listener.port, identity);
      const earlier = (await connection.get('/')).body;
      await listener.reload(materialOf(first, after));
      const answer = await connection.get('/');
      expectLast(answer);
      await connection.closed;
      return [earlier, answer.body];
    }

    test('is untrusted once its authority is not in force any more', async () => {
      const both = `${otherAuthority.certificate}\n${authority.certificate}`;
      expect(await verdicts(authority.certificate, otherAuthority.certificate, alice)).toEqual([
        'true',
        'false',
      ]);
      expect(await verdicts(both, otherAuthority.certificate, alice)).toEqual(['true', 'false']);
    });

    test('is untrusted once there are authorities where none were', async () => {
      expect(await verdicts(null, authority.certificate, client)).toEqual(['true', 'false']);
    });

    test('stays trusted where authorities come beside its own, or leave it', async () => {
      const both = `${otherAuthority.certificate}\n${authority.certificate}`;
      expect(await verdicts(authority.certificate, both, alice)).toEqual(['true', 'true']);
      expect(await verdicts(both, authority.certificate, alice)).toEqual(['true', 'true']);
      expect(await verdicts(authority.certificate, null, alice)).toEqual(['true', 'true']);
    });

    test('is judged by an intermediate certificate only as long as the authorities above it stay', async () => {
      const identity = await authority.issueThrough('intermediate', 'below');
      const both = `${otherAuthority.certificate}\n${authority.certificate}`;
      expect(await verdicts(authority.certificate, both, identity)).toEqual(['true', 'true']);
      expect(await verdicts(authority.certificate, otherAuthority.certificate, identity)).toEqual([
        'true',
        'false',
      ]);
    });

    test('that was untrusted in its handshake stays so', async () => {
      expect(await verdicts(otherAuthority.certificate, authority.certificate, alice)).toEqual([
        'false',
        'false',
      ]);
    });

    test('is untrusted from its end on, and its connection is closed with that answer', async () => {
      await listener.reload(materialOf(first, authority.certificate));
      using connection = await connectTls(listener.port, alice);
      secondsAhead = 10 * 86_400 - 60;
      const earlier = await connection.get('/');
      expect(earlier.body).toBe('true');
      expect(earlier.head).not.toMatch(/^connection: close$/im);
      secondsAhead = 10 * 86_400 + 60;
      const answer = await connection.get('/');
      expect(answer.body).toBe('false');
      expectLast(answer);
      await connection.closed;
    });

    test('is untrusted from the end of its authority on', async () => {
      const identity = await authority.issueThrough('late-intermediate', 'late', 60);
      await listener.reload(materialOf(first, authority.certificate));
      using connection = await connectTls(listener.port, identity);
      expect((await connection.get('/')).body).toBe('true');
      secondsAhead = 31 * 86_400;
      expect((await connection.get('/')).body).toBe('false');
    });
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
