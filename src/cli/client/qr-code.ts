/** A QR code as lines of text for a terminal. */
import { encode } from 'uqr';

export interface QrCode {
  readonly columns: number;
  /** Two rows of modules a line, black on white whatever the terminal's colours are. */
  readonly lines: readonly string[];
}

const BLACK_ON_WHITE = '\x1b[38;5;16;48;5;231m';
const RESET = '\x1b[0m';
/** Scanners want four modules around the code; two do on a screen. */
const QUIET_ZONE = 2;

/** Error correction level L: what is shown on a screen has no scratches, and fewer modules are easier to scan. */
export function encodeQrCode(text: string): QrCode {
  const { data, size } = encode(text, { ecc: 'L', border: QUIET_ZONE });
  const isDark = (row: number, column: number) => data[row]?.[column] === true;
  const lines = Array.from({ length: Math.ceil(size / 2) }, (_, line) => {
    const blocks = Array.from({ length: size }, (_, column) => {
      const [upper, lower] = [isDark(2 * line, column), isDark(2 * line + 1, column)];
      if (upper) return lower ? '█' : '▀';
      return lower ? '▄' : ' ';
    });
    return `${BLACK_ON_WHITE}${blocks.join('')}${RESET}`;
  });
  return { columns: size, lines };
}
