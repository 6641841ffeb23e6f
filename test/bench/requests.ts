/** The requests of a load, prepared: each has a proof of its own, because the service takes a proof once. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { createKey, type TestKey } from '../support/keys.ts';
import type { TlsIdentity } from '../support/tls-identities.ts';
import { opTokMembers, proofMembers, signWith } from '../support/tokens.ts';
import type { Cell } from './cells.ts';

/** The parties of a cell whose keys sign: made once, so that the service can be told of them before it starts. */
export interface Parties {
  readonly authority: TestKey;
  readonly clients: readonly TestKey[];
  /** Of the clients that are bound by mTLS. */
  readonly certificate: Pick<TlsIdentity, 'certificate' | 'thumbprint'>;
}

export interface Claims {
  readonly issuer: string;
  readonly audience: string;
  /** The URL of the token endpoint, as the service's `registry.realm` has it. */
  readonly realm: string;
}

export async function createParties(
  { algorithms, clients }: Cell,
  certificate: Parties['certificate'],
): Promise<Parties> {
  return {
    certificate,
    authority: await createKey(algorithms.authority),
    clients: await Promise.all(Array.from({ length: clients }, () => createKey(algorithms.proof))),
  };
}

/** The Authority's keys as the service reads them from `authority.jwksPath`. */
export function jwksOf({ authority }: Parties): string {
  return JSON.stringify({ keys: [{ ...authority.publicJwk, kid: authority.thumbprint, use: 'sig' }] });
}

/** The query of every request of a cell: a service, and as many repositories as it asks for. */
export function queryOf({ scopes }: Cell, service: string): string {
  const names = Array.from({ length: scopes }, (_, index) => `repository:bench/image-${index}:pull`);
  const parameters = new URLSearchParams({ service });
  if (scopes > 0) parameters.set('scope', names.join(' '));
  return parameters.toString();
}

const CHUNK = 1000;

/** The header by which a trusted proxy tells of the client's certificate (RFC 9440); nothing where proofs bind. */
export function certificateHeaderOf({ binding }: Cell, { certificate }: Parties): string {
  if (binding === 'dpop') return '';
  const der = certificate.certificate.replace(/-----[^-]+-----|\s/g, '');
  return `Client-Cert: :${der}:\r\n`;
}

/**
 * Writes `count` requests, one a line, in turns to `files`: the OpTok and its proof, or the OpTok alone where a
 * certificate binds it. The proofs are dated now: they are to be used within `senderConstraint.dpop.maxAge`.
 */
export function writeRequests(
  files: readonly string[],
  count: number,
  cell: Cell,
  { authority, clients, certificate }: Parties,
  { issuer, audience, realm }: Claims,
): void {
  const now = Date.now() / 1000;
  const bound = cell.binding === 'mtls' ? { cnf: { 'x5t#S256': certificate.thumbprint } } : {};
  const createOpTok = (client: TestKey) =>
    signWith(opTokMembers(authority, client, now), authority, {
      claims: { iss: issuer, aud: audience, exp: Math.floor(now) + 3600, ...bound },
    });
  const createProof = (client: TestKey, opTok: string) =>
    signWith(proofMembers(client, opTok, now), client, { claims: { htu: realm } });
  const seen = clients.map(createOpTok);
  const descriptors = files.map((file) => openSync(file, 'w'));
  try {
    const lines = files.map((): string[] => []);
    const flush = () => {
      for (const [index, descriptor] of descriptors.entries())
        writeSync(descriptor, lines[index]?.splice(0).join('') ?? '');
    };
    for (let index = 0; index < count; index += 1) {
      const client = clients[index % clients.length];
      if (client === undefined) throw new Error('A cell has at least one client.');
      const opTok = cell.opTok === 'new' ? createOpTok(client) : (seen[index % clients.length] ?? '');
      const line = cell.binding === 'mtls' ? opTok : `${opTok} ${createProof(client, opTok)}`;
      lines[index % files.length]?.push(`${line}\n`);
      if (index % CHUNK === CHUNK - 1) flush();
    }
    flush();
  } finally {
    for (const descriptor of descriptors) closeSync(descriptor);
  }
}
