/** Text files: UTF-8 with or without a byte order mark, with any line ends; and places in them. */
import { isUtf8 } from 'node:buffer';
import { ConfigurationFault } from './mistakes.ts';

/** The keys and indexes that lead to a value. */
export type KeyPath = readonly (string | number)[];

/** `signing.additionalKeys.0`: list items are numbers. */
export function parseKeyPath(key: string): KeyPath {
  return key.split('.').map((part) => (/^\d+$/.test(part) ? Number(part) : part));
}

/** From 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

export function placeAt(text: string, offset: number): Place {
  const lineStart = text.lastIndexOf('\n', offset - 1) + 1;
  let line = 1;
  for (let at = text.indexOf('\n'); at !== -1 && at < offset; at = text.indexOf('\n', at + 1)) line += 1;
  return { line, column: offset - lineStart + 1 };
}

/** The text of a file, without a byte order mark; a lone CR is a line end as LF is. Throws ConfigurationFault at the first place that is not UTF-8. */
export function decodeText(bytes: Uint8Array, source: string): string {
  const encoding = wideEncodingOf(bytes);
  if (encoding !== null) {
    const message = `is ${encoding.slice(0, 6)}; save it as UTF-8 (iconv -f ${encoding} -t UTF-8)`;
    throw new ConfigurationFault([{ source, line: 1, column: 1, key: '', message }]);
  }
  if (isUtf8(bytes)) return new TextDecoder().decode(bytes).replace(/\r(?!\n)/g, '\n');
  let line = 1;
  for (let from = 0; ; line += 1) {
    const end = bytes.indexOf(0x0a, from);
    const part = bytes.subarray(from, end === -1 ? bytes.length : end);
    if (end === -1 || !isUtf8(part)) {
      const column = new TextDecoder().decode(part).indexOf('\ufffd') + 1;
      const message = 'is not UTF-8; save it as UTF-8 (from Latin-1: iconv -f LATIN1 -t UTF-8)';
      throw new ConfigurationFault([{ source, line, column: Math.max(column, 1), key: '', message }]);
    }
    from = end + 1;
  }
}

/** The encoding with two or four bytes a character, by a byte order mark or by the zeros beside a first ASCII character; null for none. */
function wideEncodingOf(bytes: Uint8Array): string | null {
  const [a = 1, b = 1, c = 1, d = 1] = bytes;
  if ((a === 0xff && b === 0xfe) || (a !== 0 && b === 0)) return c === 0 && d === 0 ? 'UTF-32LE' : 'UTF-16LE';
  if (a === 0 && b === 0 && ((c === 0xfe && d === 0xff) || (c === 0 && d !== 0))) return 'UTF-32BE';
  return (a === 0xfe && b === 0xff) || (a === 0 && b !== 0) ? 'UTF-16BE' : null;
}

/** The bytes of a file that may be text or not, without a byte order mark. */
export function withoutByteOrderMark(bytes: Buffer): Buffer {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}
