/** Reads the body of a request or an answer into memory, up to a limit. */

export class BodyTooLarge extends Error {
  constructor(maxBytes: number) {
    super(`more than ${maxBytes} bytes`);
    this.name = 'BodyTooLarge';
  }
}

/**
 * Reads the whole body; no body is an empty one. Throws BodyTooLarge as soon as more than `maxBytes` have arrived, and
 * cancels the rest; rejects as the stream does where it ends early. The limit counts decoded bytes, so it also bounds
 * what a compressed answer unfolds to.
 */
export async function readBody(
  { body }: { readonly body: ReadableStream<Uint8Array> | null },
  maxBytes: number,
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.byteLength;
    if (size > maxBytes) throw new BodyTooLarge(maxBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
