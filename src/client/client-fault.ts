/**
 * Why a client did not get what it wanted: the message says what, where, why and what to do, in words for the
 * person at the command line. It never holds a token, proof, key or password.
 */
export class ClientFault extends Error {
  /** The status of the answer that was a refusal; null where there was no such answer. */
  readonly status: number | null;

  constructor(message: string, status: number | null = null) {
    super(message);
    this.status = status;
  }
}

/** Text from elsewhere, made fit for a terminal: at most `length` characters, each of them printable ASCII. */
export function printable(text: string, length = 300): string {
  const shown = text.replace(/[^\x20-\x7e]+/g, '?');
  return shown.length > length ? `${shown.slice(0, length)}...` : shown;
}
