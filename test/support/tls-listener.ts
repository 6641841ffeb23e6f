/**
 * A TLS listener before a node:http server. Bun's node:https does not hand over the client's certificate; a
 * node:tls socket that is given to a plain server does.
 */
import type { IncomingMessage, Server } from 'node:http';
import { createServer, TLSSocket, type Server as TlsServer } from 'node:tls';

export interface TlsFiles {
  readonly key: string;
  readonly certificate: string;
}

/** Asks for a client certificate and takes any. The server closes with the listener, not the other way round. */
export async function listenTls(server: Server, port: number, files: TlsFiles): Promise<TlsServer> {
  const listener = createServer(
    { key: files.key, cert: files.certificate, requestCert: true, rejectUnauthorized: false },
    (socket) => server.emit('connection', socket),
  );
  await new Promise<void>((resolve) => listener.listen(port, '127.0.0.1', resolve));
  return listener;
}

/** The PEM of the certificate that the client of a request proved to have. */
export function clientCertificateOf({ socket }: IncomingMessage): string | undefined {
  return socket instanceof TLSSocket ? socket.getPeerX509Certificate()?.toString() : undefined;
}
