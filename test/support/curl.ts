/** curl, for what a client of Bun would not send: another address of its own, and headers of any name and number. */
import { runOrFail } from './processes.ts';
import type { TlsIdentity } from './tls-identities.ts';

export interface CurlAnswer {
  readonly status: number;
  /** The status line and the headers. */
  readonly head: string;
  readonly text: string;
  /** The body where it is a JSON object, else empty. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** Who asks, and whom the client trusts. */
export interface CurlSide {
  /** Path of the certificate authority's certificate. */
  readonly caPath: string;
  /** The client certificate; null for none. */
  readonly identity: TlsIdentity | null;
}

/** Runs curl with these words beside those of its side. Throws where there is no answer. */
export async function curl({ caPath, identity }: CurlSide, ...words: readonly string[]): Promise<CurlAnswer> {
  const own = identity === null ? [] : ['--cert', identity.certificatePath, '--key', identity.keyPath];
  // What curl would make of "Expect: 100-continue" is no matter here: one answer has one head.
  const usual = ['curl', '-sS', '-i', '--max-time', '20', '-H', 'Expect:', '--cacert', caPath];
  const output = await runOrFail([...usual, ...own, ...words]);
  const end = output.indexOf('\r\n\r\n');
  const head = output.slice(0, end);
  const text = output.slice(end + 4);
  return {
    status: Number(head.split(' ', 2)[1]),
    head,
    text,
    body: text.startsWith('{') ? JSON.parse(text) : {},
  };
}
