/** Ten thousand requests of a stranger, mixed of everything he may send: no token, no 500, and nothing that grows. */

import { heapStats } from 'bun:jsc';
import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import { randomInt } from 'node:crypto';
import { createConnection } from 'node:net';
import { RemoteAuthorityKeys } from '../../src/authority/remote-authority-keys.ts';
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts';
import { listen } from '../../src/server/listen.ts';
import { ask, expectRefusal, expectToken } from '../support/ask.ts';
import { startFaultyAuthority } from '../support/faulty-authority.ts';
import type { Stranger } from '../support/hostile-credentials.ts';
import { bodyOf, createHostileRequests, fieldsOf, type HostileRequest } from '../support/hostile-requests.ts';
import { createKey } from '../support/keys.ts';
import { createHarness, NOW } from '../support/service.ts';
import { ISSUER } from '../support/tokens.ts';

setDefaultTimeout(60_000);

/** HOSTILE_SEED=… repeats a run. */
const seed = Number(process.env.HOSTILE_SEED ?? randomInt(2 ** 31));
process.stderr.write(`hostile requests: HOSTILE_SEED=${seed}\n`);

const COUNT = 10_000;
const OVER_SOCKETS = 1000;
/** Simulated seconds that pass with each request. */
const PACE = 0.02;
const COOL_DOWN = 30;

const [authorityKey, victim, own, weak] = await Promise.all([
  createKey('ES256'),
  createKey('ES256'),
  createKey('ES256'),
  createKey('RS256', 1024),
]);
const authority = await startFaultyAuthority([authorityKey]);
const authorityKeys = new RemoteAuthorityKeys({
  issuer: ISSUER,
  metadataUrl: authority.metadataUrl,
  certificateAuthorities: null,
  maxAge: 300,
  onRefresh: () => {},
});
const replayStore = MemoryReplayStore.create(20_000, NOW - 3600);
const harness = await createHarness({ authorityKeys, authorityKey, clientKey: victim, replayStore });
const stranger = await createStranger();
afterAll(() => authority[Symbol.asyncDispose]());

const acceptable = [400, 401, 403, 404, 405, 413, 415];

test(`${COUNT} hostile requests get no token and no 500, and leave nothing behind`, async () => {
  const requests = createHostileRequests(seed, COUNT);
  const started = harness.clock.now;
  const held = replayStore.count(started);
  const keysBefore = countKeys();
  const statuses = new Map<number, number>();
  const reasons = new Set<string>();
  const memory: { heap: number; resident: number }[] = [];

  for (const [index, request] of requests.entries()) {
    harness.clock.now += PACE;
    const response = await harness.handle(toRequest(request), connectionOf(request));
    const said = `${await response.text()}\n${JSON.stringify([...response.headers])}`;
    const words = `request ${index} of seed ${seed}: ${JSON.stringify(request).slice(0, 2000)}`;
    if (!isHarmless(request, response.status, said)) throw new Error(`${response.status} to ${words}`);
    statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
    for (const { refusal, issued, fault } of harness.decisions) {
      if (issued !== null || fault !== null || refusal === null) throw new Error(`${fault} at ${words}`);
      reasons.add(refusal.reason);
    }
    harness.decisions.length = 0;
    if (index + 1 === COUNT / 2 || index + 1 === COUNT) memory.push(measureMemory());
  }

  const [half, whole] = memory;
  if (half === undefined || whole === undefined) throw new Error('Memory was not measured twice.');
  expect(whole.heap - half.heap).toBeLessThan(8 * 1024 * 1024);
  expect(whole.resident - half.resident).toBeLessThan(64 * 1024 * 1024);
  expect(replayStore.count(started)).toBe(held);
  // Imported keys: a few of the Authority, and none of a stranger.
  expect(countKeys() - keysBefore).toBeLessThan(20);
  const elapsed = harness.clock.now - started;
  expect(authority.fetches()).toBeLessThanOrEqual(2 + elapsed / COOL_DOWN);

  // The mixture reaches every part: a generator that is refused at the door proves nothing.
  expect([...statuses.keys()].sort()).toEqual([200, 400, 401, 404, 405, 413, 415]);
  expect(reached.filter((reason) => !reasons.has(reason))).toEqual([]);
});

test(`${OVER_SOCKETS} hostile requests over real connections do not either`, async () => {
  const listener = listen({ host: '127.0.0.1', port: 0, handle: harness.handle });
  const requests = createHostileRequests(seed + 1, OVER_SOCKETS);
  const answered = { byUs: 0, byBun: 0 };
  const ask = async (request: HostileRequest, index: number) => {
    const answer = withoutInterim(await exchange(listener.port, serialize(request, index)));
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
    const words = `request ${index} of seed ${seed + 1}: ${JSON.stringify(request).slice(0, 2000)}\n${answer}`;
    // Framing that is no HTTP, and headers that are too large, are refused by Bun itself.
    const byBun = [0, 400, 413, 431].includes(status) && !answer.includes('"error_description"');
    if (!byBun && !isHarmless(request, status, answer)) throw new Error(`${status} to ${words}`);
    if (answer.includes('"token"')) throw new Error(`A token to ${words}`);
    answered[byBun ? 'byBun' : 'byUs'] += 1;
  };
  try {
    for (let at = 0; at < requests.length; at += 20)
      await Promise.all(requests.slice(at, at + 20).map((request, offset) => ask(request, at + offset)));
    expect(harness.decisions.filter(({ issued, fault }) => issued !== null || fault !== null)).toEqual([]);
    expect(answered.byUs).toBeGreaterThan(OVER_SOCKETS * 0.8);
    const health = await fetch(`${listener.url}/healthz`);
    expect(health.status).toBe(200);
  } finally {
    await listener.stop(0);
  }
});

test('after all that the victim is served as before, and his used proof is still used', async () => {
  harness.clock.now += 1;
  expectToken(await ask(harness));
  const opTok = harness.opTok();
  const proof = harness.proof(opTok);
  expectToken(await ask(harness, { opTok, proof }));
  expectRefusal(await ask(harness, { opTok, proof }), 'proof-replayed');
});

/** What the mixture must have met. */
const reached = [
  ...[
    'malformed-request',
    'malformed-scope',
    'service-not-allowed',
    'credentials-missing',
    'credentials-ambiguous',
  ],
  ...[
    'token-malformed',
    'token-type',
    'token-algorithm',
    'token-key-unknown',
    'token-signature',
    'token-claims',
  ],
  ...[
    'proof-missing',
    'proof-malformed',
    'proof-type',
    'proof-algorithm',
    'proof-key',
    'proof-method',
    'proof-url',
  ],
  ...['proof-time', 'proof-binding', 'proof-signature', 'proof-token-hash', 'proof-replayed'],
  'certificate-untrusted',
] as const;

async function createStranger(): Promise<Stranger> {
  // An hour, so that it is good for the whole run; the victim's proofs are only good for theirs.
  const stolenOpTok = harness.opTok({ claims: { exp: NOW + 3600 } });
  const used = harness.proof(stolenOpTok);
  expectToken(await ask(harness, { opTok: stolenOpTok, proof: used }));
  harness.decisions.length = 0;
  const elsewhere = harness.proof(stolenOpTok, { claims: { htu: 'https://other.example.com/token' } });
  return {
    now: () => harness.clock.now,
    authority: authorityKey,
    victim,
    own,
    weak,
    stolenOpTok,
    stolenProofs: [
      used,
      elsewhere,
      harness.proof(harness.opTok()),
      harness.proof(stolenOpTok, { claims: { htm: 'PUT' } }),
    ],
  };
}

/** A refusal that holds nothing of what was stolen, or the answer of an endpoint that is for everybody. */
function isHarmless(request: HostileRequest, status: number, said: string): boolean {
  const { stolenOpTok, stolenProofs } = stranger;
  if (said.includes('"token"') || said.includes('"access_token"')) return false;
  if ([stolenOpTok, ...stolenProofs].some((secret) => said.includes(secret))) return false;
  if (acceptable.includes(status)) return request.method === 'HEAD' || said.includes('"error_description"');
  return status === 200 && /^\/(?:\.well-known\/jwks\.json|healthz|readyz|metrics)\?/.test(request.target);
}

function toRequest(request: HostileRequest): Request {
  const headers = new Headers();
  for (const [name, value] of fieldsOf(request, stranger)) headers.append(name, value);
  const { method } = request;
  return new Request(`http://registry.example.com${request.target}`, {
    method,
    headers,
    body: bodyOf(request),
  });
}

function connectionOf({ address, certificate }: HostileRequest) {
  return { address, certificate: certificate === null ? null : { der: certificate, trusted: true } };
}

/** The bytes of a request; some with fields and framing that no client library would let through. */
function serialize(request: HostileRequest, index: number): Buffer {
  const { method } = request;
  const target = request.target.replace(/[^\x21-\x7e]/g, '%20');
  const body = bodyOf(request) ?? Buffer.alloc(0);
  const fields = fieldsOf(request, stranger).map(([name, value]) => `${name}: ${value}`);
  const oddities = [
    ...[
      'Host: evil.example.com',
      'Authorization: DPoP x',
      'DPoP: x',
      'X-Null: a\0b',
      ' folded',
      'no colon',
      ': no name',
    ],
    ...['Transfer-Encoding: chunked', 'Content-Length: 5', 'Expect: 100-continue', 'Upgrade: websocket'],
    `X-Long: ${'a'.repeat(20_000)}`,
  ];
  const odd = index % 10 === 0 ? oddities[(index / 10) % oddities.length] : undefined;
  const lines = [
    `${method} ${target} HTTP/1.1`,
    'Host: registry.example.com',
    'Connection: close',
    `Content-Length: ${body.length}`,
    ...fields.filter(
      (field) => !/^(?:content-length|connection|transfer-encoding|upgrade|expect|host):/i.test(field),
    ),
    ...(odd === undefined ? [] : [odd]),
  ];
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), body]);
}

/** RFC 9110 §15.2: a 100 before the answer itself. */
function withoutInterim(answer: string): string {
  return answer.replace(/^HTTP\/1\.1 100 [^\r]*\r\n\r\n/, '');
}

/** Sends bytes and returns what comes back until the other side closes, or has been silent for a second. */
function exchange(port: number, bytes: Buffer): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = createConnection({ port, host: '127.0.0.1' }, () => socket.write(bytes));
    const end = () => {
      socket.destroy();
      resolve(Buffer.concat(chunks).toString('latin1'));
    };
    socket.setTimeout(1000, end);
    socket.on('data', (chunk) => chunks.push(Buffer.from(chunk)));
    socket.on('error', end);
    socket.on('close', end);
  });
}

function countKeys(): number {
  Bun.gc(true);
  return heapStats().objectTypeCounts.CryptoKey ?? 0;
}

function measureMemory(): { heap: number; resident: number } {
  Bun.gc(true);
  return { heap: heapStats().heapSize, resident: process.memoryUsage.rss() };
}
