/** The agent's listener: plain on loopback; elsewhere by TLS, and for clients with a certificate of the given authority. */
import { X509Certificate } from 'node:crypto';
import { waitAtMost } from '../../platform/wait.ts';
import type { Agent } from './agent.ts';
import { type AgentDoor, namesLoopback } from './check-request.ts';

export interface AgentTls {
  /** PEM: the server's certificate with its chain, its key, and the authority of the clients that may come. */
  readonly certificate: string;
  readonly key: string;
  readonly clientAuthorities: string;
}

export interface AgentAddress {
  /** As Bun.serve takes it: no brackets. */
  readonly host: string;
  readonly port: number;
  /** Null for plain http, which is for loopback alone. */
  readonly tls: AgentTls | null;
}

export interface AgentListener {
  /** Takes no more connections; what is under way may end within `graceMs`, and is broken off then. */
  readonly stop: (graceMs: number) => Promise<void>;
}

const FLUSH_MS = 500;

/** What the Host field of a client can be: the address on loopback, or a name in the certificate. */
export function doorOf({ port, tls }: AgentAddress): AgentDoor {
  if (tls === null) return { scheme: 'http', isOwnHost: (host) => namesLoopback(host, port) };
  const certificate = new X509Certificate(tls.certificate);
  return {
    scheme: 'https',
    isOwnHost: (host) => {
      const name = /^(\[[\da-f:.]+\]|[\w.-]+)(?::\d{1,5})?$/i.exec(host)?.[1]?.replace(/[[\]]/g, '') ?? '';
      if (name === '') return false;
      const isAddress = name.includes(':') || /^[\d.]+$/.test(name);
      return (isAddress ? certificate.checkIP(name) : certificate.checkHost(name)) !== undefined;
    },
  };
}

/** Listens at once. Throws where the address cannot be had. */
export function listenForClients({ host, port, tls }: AgentAddress, agent: Agent): AgentListener {
  const server = Bun.serve({
    hostname: host,
    port,
    // A layer has any size. Nothing of it is kept here.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    // A registry may need minutes to put a layer in its place, in which neither side says a word.
    idleTimeout: 0,
    development: false,
    // Bun's default beside `development: false` is to share the port with any listener of the same user.
    reusePort: false,
    ...(tls === null
      ? {}
      : {
          tls: {
            cert: tls.certificate,
            key: tls.key,
            ca: tls.clientAuthorities,
            requestCert: true,
            rejectUnauthorized: true,
          },
        }),
    fetch: agent.handle,
    error: () => new Response(null, { status: 500 }),
  });
  return {
    stop: async (graceMs) => {
      const stopped = server.stop();
      await agent.transfers.settle(graceMs);
      // The last bytes of an answer that has just ended are still to be sent.
      await waitAtMost(FLUSH_MS, stopped);
      await server.stop(true);
    },
  };
}
