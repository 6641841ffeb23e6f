/** Requests of somebody who means harm, one connection each: what they are answered with, or not at all. */
import { randomBytes } from 'node:crypto';
import { openSocket, type RawTarget } from '../support/raw-client.ts';

/** A client that waits for longer than this has been told enough. */
const PATIENCE_MS = 500;
const GARBAGE = randomBytes(4096).toString('latin1');

/** `good` is the text of a token request whose proof is used up afterwards. */
export function hostileTexts(good: string): readonly string[] {
  const [line = ''] = good.split('\r\n', 1);
  return [
    good,
    good,
    good.replace('repository:bench', 'repository:secret'),
    good.replace('DPoP: ', 'DPoP: x'),
    good.replace(/Authorization: [^\r]+/, 'Authorization: Bearer a.b.c'),
    good.replace(/Authorization: [^\r]+/, `Authorization: Basic ${'QQ=='.repeat(1000)}`),
    good.replace(/\r\nDPoP: [^\r]+/, ''),
    `${line}\r\nHost: x\r\n\r\n`,
    `POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 70000\r\n\r\n${'a'.repeat(70_000)}`,
    'POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 99\r\n\r\nhalf',
    `GET /token?${'scope=repository:a/b:pull&'.repeat(300)} HTTP/1.1\r\nHost: x\r\n\r\n`,
    `GET /token HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(30_000)}\r\n\r\n`,
    'GET /token HTTP/1.1\r\nHo',
    GARBAGE,
    '',
  ];
}

/** Sends each over a connection of its own; resolves to the statuses, 0 for a connection without an answer. */
export function sendHostile(target: RawTarget, texts: readonly string[]): Promise<number[]> {
  return Promise.all(texts.map((text) => sendOne(target, text)));
}

function sendOne(target: RawTarget, text: string): Promise<number> {
  return new Promise((resolve) => {
    const socket = openSocket(target);
    let status = 0;
    const timer = setTimeout(() => socket.destroy(), PATIENCE_MS);
    socket.once(target.tls ? 'secureConnect' : 'connect', () => socket.write(text, 'latin1'));
    socket.once('data', (bytes) => {
      status = Number(/^HTTP\/1\.1 (\d+) /.exec(bytes.toString('latin1'))?.[1] ?? 0);
      socket.destroy();
    });
    socket.once('close', () => {
      clearTimeout(timer);
      resolve(status);
    });
  });
}
