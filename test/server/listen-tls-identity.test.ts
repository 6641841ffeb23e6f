/** Who the client of a TLS connection is: the one that proved its certificate there, and nobody else. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { connect } from 'node:net';
import type { TlsMaterial } from '../../src/keys/tls-material.ts';
import type { ClientConnection } from '../../src/request/client-connection.ts';
import type { Listener } from '../../src/server/listen.ts';
import { listenTls } from '../../src/server/listen-tls.ts';
import { describeWith } from '../support/debian-parts.ts';
import { ownSockets } from '../support/own-sockets.ts';
import { createTemporaryFolder, run, type TemporaryFolder, wallClock } from '../support/processes.ts';
import { connectTls, getRequest, type HttpAnswer } from '../support/tls-client.ts';
import {
  type CertificateAuthority,
  createCertificateAuthority,
  createSelfSigned,
  type TlsIdentity,
} from '../support/tls-identities.ts';
import { sha256 } from '../support/tokens.ts';

setDefaultTimeout(30_000);

/** Tells who is asking, now and then later than at once. */
async function tellClient(request: Request, { address, certificate }: ClientConnection): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname.endsWith('3')) await Bun.sleep(Math.random() * 4);
  const thumbprint = certificate === null ? null : sha256(certificate.der);
  return Response.json({ path: pathname, address, thumbprint, trusted: certificate?.trusted ?? null });
}

describeWith(['openssl'], 'a TLS connection', () => {
  let folder: TemporaryFolder;
  let authority: CertificateAuthority;
  let otherAuthority: CertificateAuthority;
  let server: TlsIdentity;
  let alice: TlsIdentity;
  let bob: TlsIdentity;
  let stranger: TlsIdentity;
  let verifying: Listener;
  let accepting: Listener;

  beforeAll(async () => {
    folder = await createTemporaryFolder();
    authority = await createCertificateAuthority(folder, 'authority');
    otherAuthority = await createCertificateAuthority(folder, 'other-authority');
    server = await authority.issue('server');
    alice = await authority.issue('alice');
    bob = await authority.issue('bob');
    stranger = await createSelfSigned(folder, 'stranger');
    verifying = listenWith(authority.certificate);
    accepting = listenWith(null);
  });

  afterAll(async () => {
    await verifying?.stop(0);
    await accepting?.stop(0);
    await folder?.[Symbol.asyncDispose]();
  });

  function listenWith(clientAuthorities: TlsMaterial['clientAuthorities']): Listener {
    const material = { certificates: server.certificate, key: server.key, clientAuthorities };
    return listenTls({ host: '127.0.0.1', port: 0, handle: tellClient, material, clock: wallClock });
  }

  async function askOnce(listener: Listener, identity: TlsIdentity | null): Promise<unknown> {
    using client = await connectTls(listener.port, identity);
    return JSON.parse((await client.get('/once')).body);
  }

  test('is that of the client with its certificate, or with none', async () => {
    const seen = { path: '/once', address: '127.0.0.1' };
    expect(await askOnce(verifying, alice)).toEqual({ ...seen, thumbprint: alice.thumbprint, trusted: true });
    expect(await askOnce(verifying, bob)).toEqual({ ...seen, thumbprint: bob.thumbprint, trusted: true });
    expect(await askOnce(verifying, null)).toEqual({ ...seen, thumbprint: null, trusted: null });
  });

  test('certificate rule 5: is never mixed up with another, one after the other, pipelined or at the same time', async () => {
    const clients = [alice, bob, stranger, null].flatMap((identity) => [identity, identity, identity]);
    const rounds = clients.map(async (identity, index) => {
      const expected = { thumbprint: identity?.thumbprint ?? null };
      let answered = 0;
      for (let connection = 0; connection < 6; connection += 1) {
        using client = await connectTls(verifying.port, identity);
        for (let batch = 0; batch < 8; batch += 1) {
          const paths = Array.from(
            { length: 1 + (batch % 4) },
            (_, at) => `/${index}/${connection}/${batch}/${at}`,
          );
          client.write(paths.map((path) => getRequest(path)).join(''));
          for (const path of paths) {
            expect(JSON.parse((await client.answer()).body)).toMatchObject({ ...expected, path });
            answered += 1;
          }
        }
      }
      return answered;
    });
    const answered = (await Promise.all(rounds)).reduce((sum, count) => sum + count, 0);
    expect(answered).toBe(clients.length * 6 * 20);
  });

  test('has a trusted certificate only where its chain leads to clientCaPath', async () => {
    const expired = await authority.issue('expired', { days: -1 });
    const foreign = await otherAuthority.issue('foreign');
    const forServersOnly = await authority.issue('for-servers', {
      extensions: ['extendedKeyUsage=serverAuth'],
    });
    for (const identity of [expired, foreign, stranger, forServersOnly])
      expect(await askOnce(verifying, identity)).toMatchObject({
        thumbprint: identity.thumbprint,
        trusted: false,
      });
  });

  test('has a certificate that counts, whatever its chain, where there is no clientCaPath', async () => {
    const expired = await authority.issue('expired-too', { days: -1 });
    const foreign = await otherAuthority.issue('foreign-too');
    for (const identity of [alice, expired, foreign, stranger])
      expect(await askOnce(accepting, identity)).toMatchObject({
        thumbprint: identity.thumbprint,
        trusted: true,
      });
    expect(await askOnce(accepting, null)).toMatchObject({ thumbprint: null });
  });

  test('leads to any authority of a clientCaPath with several', async () => {
    const both = listenWith(`${otherAuthority.certificate}\n${authority.certificate}`);
    const foreign = await otherAuthority.issue('foreign-again');
    for (const identity of [alice, foreign])
      expect(await askOnce(both, identity)).toMatchObject({ trusted: true });
    expect(await askOnce(both, stranger)).toMatchObject({ trusted: false });
    await both.stop(0);
  });

  test.each([
    ['-tls1_1', false],
    ['-tls1_2', true],
    ['-tls1_3', true],
  ])('with %s is accepted: %p', async (version, accepted) => {
    // At security level 0 openssl itself would speak TLS 1.1.
    const words = ['-brief', version, '-cipher', 'ALL@SECLEVEL=0'];
    const { stderr } = await connectByOpenssl(verifying, words);
    expect(/^CONNECTION ESTABLISHED$/m.test(stderr)).toBe(accepted);
    if (!accepted) expect(stderr).toContain('alert protocol version');
  });

  test.each(['-tls1_2', '-tls1_3'])('with %s is never resumed: each proves its key anew', async (version) => {
    const session = folder.at(`session${version}`);
    const words = [version, '-cert', alice.certificatePath, '-key', alice.keyPath];
    const first = await connectByOpenssl(verifying, [...words, '-sess_out', session]);
    expect(first.stdout).toMatch(/^New, TLSv1/m);
    expect(first.stdout).not.toMatch(/session ticket:/i);
    if (!(await Bun.file(session).exists())) return;
    const second = await connectByOpenssl(verifying, [...words, '-sess_in', session]);
    expect(second.stdout).toMatch(/^New, TLSv1/m);
    expect(second.stdout).not.toMatch(/^Reused/m);
  });

  /** openssl's client, which asks for nothing and stays until the server has had time for a ticket. */
  function connectByOpenssl({ port }: Listener, words: readonly string[]) {
    const command = `sleep 0.3 | openssl s_client -connect 127.0.0.1:${port} "$@"`;
    return run(['sh', '-c', command, 'sh', ...words]);
  }

  test('certificate rule 5: to the inner server is refused, whatever address it comes from and whatever it says', async () => {
    using client = await connectTls(verifying.port, alice);
    await client.get('/once');
    const before = new Set([verifying.port, accepting.port]);
    const inner = ownSockets().filter((socket) => socket.isListening && !before.has(socket.localPort));
    expect(inner.length).toBeGreaterThan(0);
    for (const { localPort: innerPort } of inner) {
      const headers = [
        `Client-Cert: :${Buffer.from(alice.certificate).toString('base64')}:`,
        'Forwarded: for=::1',
      ];
      expect((await askDirectly(innerPort, {}, ...headers)).status).toBe(403);
      const tunnels = ownSockets().filter(
        ({ remotePort, isListening }) => remotePort === innerPort && !isListening,
      );
      for (const { localPort } of tunnels)
        expect((await askDirectly(innerPort, { localAddress: '127.0.0.2', localPort })).status).toBe(403);
    }
    const tunnels = inner.flatMap(({ localPort }) =>
      ownSockets().filter(({ remotePort }) => remotePort === localPort),
    );
    expect(tunnels.length).toBeGreaterThan(0);
  });

  function askDirectly(
    port: number,
    from: { readonly localAddress?: string; readonly localPort?: number },
    ...headers: readonly string[]
  ): Promise<Pick<HttpAnswer, 'status'>> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port, ...from }, () => {
        socket.write(getRequest('/once', ...headers));
      });
      socket.once('data', (bytes) => {
        socket.destroy();
        resolve({ status: Number(bytes.toString('latin1').split(' ', 2)[1]) });
      });
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('Closed without an answer.')));
    });
  }
});
