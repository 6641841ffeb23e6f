/** How much of what clients send the agent keeps in memory: so much of each request, and so much of all together. */
import { expect, test } from 'bun:test';
import { KeptBodies } from '../../../src/client/agent/forward.ts';

const MIB = 1024 * 1024;

/** A request that announces so many bytes; without a length where null. */
function requestOf(bytes: number | null): Request {
  const headers = bytes === null ? {} : { 'Content-Length': String(bytes) };
  const body = new Blob([new Uint8Array(bytes ?? 10)]).stream();
  return new Request('http://127.0.0.1/v2/', { method: 'PUT', headers, body });
}

/** Begins a request and does not end it; `end` does. */
async function begin(bodies: KeptBodies, bytes: number | null) {
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const { promise: begun, resolve: tell } = Promise.withResolvers<boolean>();
  const done = bodies.use(requestOf(bytes), (body) => {
    tell(body instanceof Uint8Array);
    return ended;
  });
  const endIt = () => {
    end();
    return done;
  };
  return { isKept: await begun, end: endIt };
}

test.each([
  [0, true],
  [4 * MIB, true],
  [4 * MIB + 1, false],
  [null, false],
])('a body of %p bytes is kept: %p', async (bytes, isKept) => {
  expect((await begin(new KeptBodies(), bytes)).isKept).toBe(isKept);
});

test('no more than 64 MiB are kept of all that is under way; the rest is sent on as it comes', async () => {
  const bodies = new KeptBodies();
  const sixteen = await Promise.all(Array.from({ length: 16 }, () => begin(bodies, 4 * MIB)));
  expect(sixteen.map(({ isKept }) => isKept)).toEqual(Array(16).fill(true));
  expect((await begin(bodies, 1)).isKept).toBe(false);
  await sixteen[0]?.end();
  expect((await begin(bodies, 4 * MIB)).isKept).toBe(true);
  expect((await begin(bodies, 1)).isKept).toBe(false);
});

test('one that breaks off gives its room back', async () => {
  const bodies = new KeptBodies();
  for (let count = 0; count < 20; count += 1) {
    const broken = new ReadableStream({ pull: (controller) => controller.error(new Error('gone')) });
    const headers = { 'Content-Length': String(4 * MIB) };
    const request = new Request('http://127.0.0.1/v2/', { method: 'PUT', headers, body: broken });
    await expect(bodies.use(request, async () => {})).rejects.toThrow();
  }
  expect((await begin(bodies, 4 * MIB)).isKept).toBe(true);
});
