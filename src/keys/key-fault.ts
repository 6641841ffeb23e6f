/** What is wrong with a key or certificate, in a sentence that names no secret. */
export class KeyFault extends Error {
  /** Which of the two files. */
  readonly source: 'key' | 'certificate';

  constructor(source: 'key' | 'certificate', message: string) {
    super(message);
    this.name = 'KeyFault';
    this.source = source;
  }
}
