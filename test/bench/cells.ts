/** What is measured: each cell is a kind of load, described as data. A new row is all that a new cell needs. */
import type { TestAlgorithm } from '../support/keys.ts';
import type { Section } from '../support/running-service.ts';

export interface Cell {
  /** What `--cells` calls it. */
  readonly name: string;
  /** `seen`: all requests bring one OpTok; `new`: each brings one of its own. */
  readonly opTok: 'seen' | 'new';
  /** What binds the OpTok to its sender: a proof a request, or a certificate that a trusted proxy forwards. */
  readonly binding: 'dpop' | 'mtls';
  /** Keys of clients that take turns; a key that was seen before costs the service less. */
  readonly clients: number;
  readonly algorithms: {
    readonly authority: TestAlgorithm;
    readonly proof: TestAlgorithm;
    readonly signing: TestAlgorithm;
  };
  /** Resources asked for in each request, 0 to 64. */
  readonly scopes: number;
  readonly connections: number;
  /** Milliseconds that a connection waits before each request; 0: none, as fast as answers come. */
  readonly pauseMs: number;
  /** Whether a connection is used for more than one request. */
  readonly keepAlive: boolean;
  /** Whether the service's own TLS listener is asked. */
  readonly tls: boolean;
  readonly workers: number | 'auto';
  readonly replay: 'memory' | 'redis';
  /** Whole sections of the configuration in place of the bench's own. */
  readonly sections: Section;
}

/** The bare cryptography of one request: what no implementation can do without. */
export interface FloorOperation {
  readonly operation: 'verify' | 'sign';
  readonly algorithm: TestAlgorithm;
}

const es256 = { authority: 'ES256', proof: 'ES256', signing: 'ES256' } as const;

/** Each other cell differs from this one in what its name says. */
export const usualCell: Cell = {
  name: 'optok-seen',
  opTok: 'seen',
  binding: 'dpop',
  clients: 1,
  algorithms: es256,
  scopes: 1,
  connections: 16,
  pauseMs: 0,
  keepAlive: true,
  tls: false,
  workers: 1,
  replay: 'memory',
  sections: {},
};

export const cells: readonly Cell[] = [
  usualCell,
  { ...usualCell, name: 'optok-new', opTok: 'new' },
  { ...usualCell, name: 'sign-eddsa', algorithms: { ...es256, signing: 'EdDSA' } },
  { ...usualCell, name: 'sign-rs256', algorithms: { ...es256, signing: 'RS256' } },
  { ...usualCell, name: 'scopes-8', scopes: 8 },
  { ...usualCell, name: 'scopes-64', scopes: 64 },
  { ...usualCell, name: 'mtls-seen', binding: 'mtls' },
  { ...usualCell, name: 'mtls-new', binding: 'mtls', opTok: 'new' },
  { ...usualCell, name: 'mtls-rs256', binding: 'mtls', algorithms: { ...es256, signing: 'RS256' } },
  { ...usualCell, name: 'clients-100', clients: 100 },
  { ...usualCell, name: 'new-connections', keepAlive: false },
  { ...usualCell, name: 'tls', tls: true },
  { ...usualCell, name: 'redis', replay: 'redis' },
  { ...usualCell, name: 'auto-seen', workers: 'auto' },
  { ...usualCell, name: 'auto-new', workers: 'auto', opTok: 'new' },
];

/** The proof's signature, where there is one, and the token's own; the OpTok's too where it is new each time. */
export function floorOf({ opTok, binding, algorithms }: Cell): FloorOperation[] {
  return [
    ...(opTok === 'new' ? [{ operation: 'verify', algorithm: algorithms.authority } as const] : []),
    ...(binding === 'dpop' ? [{ operation: 'verify', algorithm: algorithms.proof } as const] : []),
    { operation: 'sign', algorithm: algorithms.signing },
  ];
}
