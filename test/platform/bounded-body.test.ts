/** A body is read up to its limit and no further. */
import { expect, test } from 'bun:test';
import { BodyTooLarge, readBody } from '../../src/platform/bounded-body.ts';

function endless() {
  const seen = { sent: 0, cancelled: false };
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      seen.sent += 100;
      controller.enqueue(new Uint8Array(100));
    },
    cancel: () => {
      seen.cancelled = true;
    },
  });
  return { body, seen };
}

test('a body of the limit is read whole, and one byte more is refused', async () => {
  expect((await readBody(new Response('x'.repeat(64)), 64)).length).toBe(64);
  await expect(readBody(new Response('x'.repeat(65)), 64)).rejects.toBeInstanceOf(BodyTooLarge);
});

test('no body is an empty one', async () => {
  expect((await readBody(new Response(null), 0)).length).toBe(0);
});

test('an endless body is cancelled at the limit', async () => {
  const { body, seen } = endless();
  await expect(readBody({ body }, 1000)).rejects.toThrow('more than 1000 bytes');
  expect(seen.cancelled).toBe(true);
  expect(seen.sent).toBeLessThan(2000);
});

test('a body that breaks off is the fault of its stream', async () => {
  const body = new ReadableStream<Uint8Array>({ start: (controller) => controller.error(new Error('cut')) });
  await expect(readBody({ body }, 10)).rejects.toThrow('cut');
});
