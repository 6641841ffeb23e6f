/** What is measured: each cell is a kind of load, described as data. A new row is all that a new cell needs. */
import type { TestAlgorithm } from '../support/keys.ts';
import type { Section } from '../support/running-service.ts';

export interface Cell {
  /** What `--cells` calls it. */
  readonly name: string;
  /** `seen`: all requests bring one OpTok; `new`: each brings one of its own. */
  readonly opTok: 'seen' | 'new';
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
  /** Whether a connection is used for more than one request. */
  readonly keepAlive: boolean;
  /** Whole sections of the configuration in place of the bench's own. */
  readonly sections: Section;
}

/** The bare cryptography of one request: what no implementation can do without. */
export interface FloorOperation {
  readonly operation: 'verify' | 'sign';
  readonly algorithm: TestAlgorithm;
}

const usual: Cell = {
  name: '',
  opTok: 'seen',
  clients: 1,
  algorithms: { authority: 'ES256', proof: 'ES256', signing: 'ES256' },
  scopes: 1,
  connections: 16,
  keepAlive: true,
  sections: {},
};

export const cells: readonly Cell[] = [
  { ...usual, name: 'optok-seen' },
  { ...usual, name: 'optok-new', opTok: 'new' },
];

/** The proof's signature and the token's own; the OpTok's too where it is new each time. */
export function floorOf({ opTok, algorithms }: Cell): FloorOperation[] {
  return [
    ...(opTok === 'new' ? [{ operation: 'verify', algorithm: algorithms.authority } as const] : []),
    { operation: 'verify', algorithm: algorithms.proof },
    { operation: 'sign', algorithm: algorithms.signing },
  ];
}
