/** An answer that is made while it is read, and shows whether any of it was lost, doubled or turned round. */
import type { TlsClient } from './tls-client.ts';

const CHUNK = 65_536;

/** Chunks that are each filled with their own number. */
export function countingBody(
  size: number,
  onMade: (bytes: number) => void,
  onCancel = () => {},
): ReadableStream {
  let made = 0;
  return new ReadableStream({
    async pull(controller) {
      await Bun.sleep(0);
      controller.enqueue(new Uint8Array(CHUNK).fill((made / CHUNK) % 251));
      made += CHUNK;
      onMade(CHUNK);
      if (made >= size) controller.close();
    },
    cancel: onCancel,
  });
}

/** Reads a chunked answer of `countingBody` to its end. */
export async function readCounting({ socket }: TlsClient, size: number) {
  const parts: Buffer[] = [];
  const done = Promise.withResolvers<void>();
  socket.on('data', (bytes: Buffer) => {
    parts.push(bytes);
    if (bytes.subarray(-5).toString('latin1') === '0\r\n\r\n') done.resolve();
  });
  socket.resume();
  await done.promise;
  const all = Buffer.concat(parts);
  let at = all.indexOf('\r\n\r\n') + 4;
  let length = 0;
  let ordered = true;
  while (length < size) {
    const end = all.indexOf('\r\n', at);
    const chunk = Number.parseInt(all.subarray(at, end).toString('latin1'), 16);
    if (!(chunk > 0)) break;
    for (let index = 0; index < chunk; index += 1)
      ordered &&= all[end + 2 + index] === Math.floor((length + index) / CHUNK) % 251;
    length += chunk;
    at = end + 2 + chunk + 2;
  }
  return { length, ordered };
}
