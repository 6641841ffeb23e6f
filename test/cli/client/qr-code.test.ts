/** QR codes: another program's decoder reads what is shown. */
import { expect, test } from 'bun:test';
import jsQR from 'jsqr';
import { encodeQrCode } from '../../../src/cli/client/qr-code.ts';

const SCALE = 4;
const ESCAPE = '\x1b';
const COLOURS = new RegExp(`${ESCAPE}\\[[\\d;]*m`, 'g');

/** What a camera sees: each character of a line is two modules, the upper and the lower one. */
function photograph(lines: readonly string[]): { readonly pixels: Uint8ClampedArray; readonly side: number } {
  const rows = lines.flatMap((line) => {
    const blocks = [...line.replaceAll(COLOURS, '')];
    return ['▀█', '▄█'].map((dark) => blocks.map((block) => dark.includes(block)));
  });
  const columns = rows[0]?.length ?? 0;
  // Two more modules of white on each side, as the page around the code has.
  const side = (columns + 4) * SCALE;
  const pixels = new Uint8ClampedArray(side * side * 4).fill(255);
  for (let y = 0; y < side; y += 1)
    for (let x = 0; x < side; x += 1)
      if (rows[Math.floor(y / SCALE) - 2]?.[Math.floor(x / SCALE) - 2])
        pixels.fill(0, (y * side + x) * 4, (y * side + x) * 4 + 3);
  return { pixels, side };
}

test.each([
  ['a page with a code', 'https://sso.example.com/device?user_code=WDJB-MJHT'],
  ['a page with letters beyond ASCII', 'https://sso.example.com/device?user_code=ABCD-EFGH&next=%2Fä'],
  ['one character', 'h'],
  ['300 characters', `https://sso.example.com/${'a'.repeat(300)}`],
  ['as many characters as a page may have', `https://sso.example.com/${'x1-'.repeat(658)}`],
])('%s can be read by a camera', (_what, text) => {
  const { lines, columns } = encodeQrCode(text);
  for (const line of lines) expect([...line.replaceAll(COLOURS, '')]).toHaveLength(columns);
  const { pixels, side } = photograph(lines);
  expect(jsQR(pixels, side, side)?.data).toBe(text);
});

test('the colours are set and reset in each line', () => {
  for (const line of encodeQrCode('text').lines) {
    expect(line.match(COLOURS)).toEqual([`${ESCAPE}[38;5;16;48;5;231m`, `${ESCAPE}[0m`]);
    expect(line.endsWith(`${ESCAPE}[0m`)).toBe(true);
  }
});
