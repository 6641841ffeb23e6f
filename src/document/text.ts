/** Text files: UTF-8 with or without a byte order mark. */
import { isUtf8 } from 'node:buffer';
import { ConfigurationFault } from './mistakes.ts';

/** The text of a file, without a byte order mark. Throws ConfigurationFault at the first place that is not UTF-8. */
export function decodeText(bytes: Uint8Array, source: string): string {
  if (isUtf8(bytes)) return new TextDecoder().decode(bytes);
  let line = 1;
  for (let from = 0; ; line += 1) {
    const end = bytes.indexOf(0x0a, from);
    const part = bytes.subarray(from, end === -1 ? bytes.length : end);
    if (end === -1 || !isUtf8(part)) {
      const column = new TextDecoder().decode(part).indexOf('\ufffd') + 1;
      const message = 'is not UTF-8; iconv converts it (iconv -f UTF-16 -t UTF-8, or -f LATIN1)';
      throw new ConfigurationFault([{ source, line, column: Math.max(column, 1), key: '', message }]);
    }
    from = end + 1;
  }
}
