/** HTTP letter by letter over a socket: what no client library would send. */
import { expect } from 'bun:test';
import { connect } from 'node:net';
import { listen } from '../../src/server/listen.ts';
import { createInstallation, type Installation } from '../assemble/installation.ts';
import { SERVICE } from '../support/tokens.ts';

export interface RawAnswer {
  readonly status: number;
  /** Names in lower case; repeated ones in their order. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
}

/**
 * Sends the text as it is and reads until the server closes; the text must ask for that. Rejects where nothing
 * comes within `timeoutMs`.
 */
export function sendText(port: number, text: string | Uint8Array, timeoutMs = 5000): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = '';
    const socket = connect(port, '127.0.0.1');
    socket.setTimeout(timeoutMs, () =>
      socket.destroy(new Error(`Nothing in ${timeoutMs} ms after: ${received}`)),
    );
    socket.setEncoding('utf8');
    socket.on('data', (chunk) => {
      received += chunk;
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(received));
    socket.write(text);
  });
}

export function parseAnswer(text: string): RawAnswer {
  const [head = '', ...rest] = text.split('\r\n\r\n');
  const [statusLine = '', ...fields] = head.split('\r\n');
  const status = /^HTTP\/1\.1 (\d{3})/.exec(statusLine)?.[1];
  if (status === undefined) throw new Error(`This is no answer: ${JSON.stringify(text.slice(0, 200))}`);
  const headers = fields.map((field) => {
    const colon = field.indexOf(':');
    return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()] as const;
  });
  return { status: Number(status), headers, body: rest.join('\r\n\r\n') };
}

export function fieldsOf({ headers }: RawAnswer, name: string): string[] {
  return headers.filter(([field]) => field === name).map(([, value]) => value);
}

export interface RawRequest {
  readonly method?: string;
  readonly target?: string;
  /** Whole lines. */
  readonly headers?: readonly string[];
  readonly body?: string;
  readonly host?: string;
}

export interface PlainService extends AsyncDisposable {
  readonly site: Installation;
  readonly port: number;
  /** Sends one request over a connection of its own. */
  readonly send: (request: RawRequest) => Promise<RawAnswer>;
}

/** The token endpoint with a service that is answered. */
export const target = `/token?service=${SERVICE}`;

/** A whole service behind the real listener, on a free port. */
export async function openPlainService(): Promise<PlainService> {
  const site = await createInstallation();
  const { handle } = await site.open();
  const listener = listen({ host: '127.0.0.1', port: 0, handle });
  const { port } = listener;
  return {
    site,
    port,
    send: async ({
      method = 'GET',
      target = '/token',
      headers = [],
      body = '',
      host = `127.0.0.1:${port}`,
    }) => {
      const head = [`${method} ${target} HTTP/1.1`, `Host: ${host}`, 'Connection: close', ...headers];
      return parseAnswer(await sendText(port, `${head.join('\r\n')}\r\n\r\n${body}`));
    },
    [Symbol.asyncDispose]: async () => {
      await listener.stop(0);
      await site[Symbol.asyncDispose]();
    },
  };
}

/** A problem document (RFC 9457) with this `error`. */
export function expectProblem(answer: RawAnswer, status: number, error: string | null): void {
  expect(answer.status).toBe(status);
  expect(fieldsOf(answer, 'content-type')).toEqual(['application/json']);
  const body = JSON.parse(answer.body) as Record<string, unknown>;
  expect(body).toMatchObject({
    type: expect.any(String),
    title: expect.any(String),
    status,
    detail: expect.any(String),
  });
  expect(body.error ?? null).toBe(error);
}
