/** The agent's listener: plain http on loopback; elsewhere TLS, for clients with a certificate of the given authority. */
import { X509Certificate } from 'node:crypto';
import { waitAtMost } from '../../platform/wait.ts';
import type { Agent } from './agent.ts';
import { type AgentIdentity, namesLoopback } from './check-request.ts';

export interface AgentTls {
  /** PEM: the server's certificate with its chain, its key, and the authority of the client certificates. */
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
  /** Stops accepting connections; requests under way have `graceMs` to finish, then they are aborted. */
  readonly stop: (graceMs: number) => Promise<void>;
}

const FLUSH_MS = 500;

/** The Host fields that name the agent: the address on loopback, or a name in the certificate. */
export function identityOf({ port, tls }: AgentAddress): AgentIdentity {
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

/** Throws if the address cannot be bound. */
export function listenForClients({ host, port, tls }: AgentAddress, agent: Agent): AgentListener {
  const server = Bun.serve({
    hostname: host,
    port,
    // Layers have any size, and are not stored here.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    // While a registry stores a layer, neither side may send anything for minutes.
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
      // Lets the last bytes of an answer that has just ended go out.
      await waitAtMost(FLUSH_MS, stopped);
      await server.stop(true);
    },
  };
}
