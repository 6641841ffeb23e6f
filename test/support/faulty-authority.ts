/** An Authority as far as its keys go, on loopback: metadata and key set, good ones until it is told to misbehave. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import type { TestKey } from './keys.ts';
import { ISSUER } from './tokens.ts';

/** How one of the two documents is answered, in place of the document. */
export type Behaviour = (response: ServerResponse, authority: FaultyAuthority) => void;

export interface FaultyAuthority extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`; the issuer that it names is that of the tests' OpToks. */
  readonly origin: string;
  readonly port: number;
  readonly metadataUrl: string;
  /** Publishes these keys alone, each under its thumbprint. */
  readonly publish: (...keys: readonly TestKey[]) => void;
  /** Answers so from now on; a document that is not named is answered well. */
  readonly behave: (behaviours: { readonly metadata?: Behaviour; readonly keySet?: Behaviour }) => void;
  /** Every path that was asked for, in order. */
  readonly requests: string[];
  /** How many times the key set was asked for. */
  readonly fetches: () => number;
  /** Bytes of bodies that were written so far. */
  readonly bytesWritten: () => number;
}

export const METADATA_PATH = '/.well-known/openid-configuration';
export const KEY_SET_PATH = '/jwks';

/** Starts it, on a free port where none is given. */
export async function startFaultyAuthority(
  keys: readonly TestKey[],
  options: { readonly port?: number } = {},
): Promise<FaultyAuthority> {
  const requests: string[] = [];
  let published = keys;
  let behaviours: { readonly metadata?: Behaviour; readonly keySet?: Behaviour } = {};
  let written = 0;

  const server = createServer((request, response) => {
    const path = request.url ?? '';
    requests.push(path);
    response.on('error', () => {});
    const write = response.write.bind(response);
    response.write = ((chunk: Uint8Array | string, ...rest: never[]) => {
      written += chunk.length;
      return write(chunk, ...rest);
    }) as typeof response.write;
    if (path === METADATA_PATH) {
      const metadata = {
        issuer: ISSUER,
        jwks_uri: `${origin}${KEY_SET_PATH}`,
        dpop_signing_alg_values_supported: ['ES256'],
      };
      (behaviours.metadata ?? answersJson(metadata))(response, authority);
    } else if (path === KEY_SET_PATH) {
      (behaviours.keySet ?? answersJson(keySetOf(published)))(response, authority);
    } else response.writeHead(404).end();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  const origin = `http://127.0.0.1:${port}`;

  const authority: FaultyAuthority = {
    origin,
    port,
    metadataUrl: `${origin}${METADATA_PATH}`,
    publish: (...next) => {
      published = next;
    },
    behave: (next) => {
      behaviours = next;
    },
    requests,
    fetches: () => requests.filter((path) => path === KEY_SET_PATH).length,
    bytesWritten: () => written,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return authority;
}

/** A JWKS document with these keys. */
export function keySetOf(keys: readonly TestKey[]): { readonly keys: readonly unknown[] } {
  return {
    keys: keys.map(({ publicJwk, thumbprint, algorithm }) => ({
      ...publicJwk,
      kid: thumbprint,
      alg: algorithm,
      use: 'sig',
    })),
  };
}

export function answersJson(document: unknown): Behaviour {
  return answersText(JSON.stringify(document), 'application/json');
}

export function answersText(text: string, type = 'application/json'): Behaviour {
  return (response) => response.writeHead(200, { 'Content-Type': type }).end(text);
}

export function answersStatus(status: number, headers: Readonly<Record<string, string>> = {}): Behaviour {
  return (response) =>
    response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end('{"keys":[]}');
}

export function redirectsTo(
  target: string | ((authority: FaultyAuthority) => string),
  status = 302,
): Behaviour {
  return (response, authority) => {
    const location = typeof target === 'string' ? target : target(authority);
    response.writeHead(status, { Location: location }).end();
  };
}

/** Takes the request and never answers. */
export const staysSilent: Behaviour = () => {};

/** Sends the first bytes of a document and no more, without ending it. */
export const stopsMidway: Behaviour = (response) => {
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '100' });
  response.write('{"keys":[');
};

/** Sends a byte every `everyMs`, without end. */
export function trickles(everyMs: number): Behaviour {
  return (response) => {
    response.writeHead(200, { 'Content-Type': 'application/json' });
    const timer = setInterval(() => response.write(' '), everyMs);
    response.on('close', () => clearInterval(timer));
  };
}

export const hangsUp: Behaviour = (response) => {
  response.socket?.destroy();
};

/** Announces more than it sends, and hangs up. */
export const cutsOff: Behaviour = (response) => {
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '1000' });
  response.write('{"keys":[]}', () => response.socket?.destroy());
};

/** Streams 100 MB as fast as they are taken. */
export const floods: Behaviour = (response) => {
  response.writeHead(200, { 'Content-Type': 'application/json' });
  const chunk = Buffer.alloc(64 * 1024, ' ');
  let left = (100 * 1024 * 1024) / chunk.length;
  const pour = () => {
    while (left > 0 && !response.destroyed) {
      left -= 1;
      if (!response.write(chunk)) return void response.once('drain', pour);
    }
    response.end();
  };
  pour();
};

/** A hundred megabytes of spaces in some hundred kilobytes. */
export function createCompressedBomb(): Behaviour {
  const bomb = gzipSync(Buffer.alloc(100 * 1024 * 1024, ' '));
  const headers = { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' };
  return (response) => response.writeHead(200, headers).end(bomb);
}

export function answersAfter(delayMs: number, behaviour: Behaviour): Behaviour {
  return (response, authority) => void setTimeout(() => behaviour(response, authority), delayMs);
}

/** Holds every answer back until it is told to go on. */
export function createGate(behaviour: Behaviour): {
  readonly behaviour: Behaviour;
  readonly open: () => void;
} {
  const opened = Promise.withResolvers<void>();
  return {
    behaviour: (response, authority) => void opened.promise.then(() => behaviour(response, authority)),
    open: opened.resolve,
  };
}
