/** A list of revoked licences: which lines revoke a licence, and which are mistakes. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { readRevocationList } from '../../src/authorize/revoked-licenses.ts';

const noPause = () => Promise.resolve();
const read = (text: string) => readRevocationList(text, noPause);

const license = fc.oneof(
  fc.stringMatching(/^[A-C1-3]{1,3}$/),
  fc.constantFrom('LIC-Ä', '証', 'a'.repeat(300), '\u{1f511}', 'urn:uuid:4f1c', 'a/b+c=', '-', '[]'),
);
const blank = fc.constantFrom('', '', ' ', '\t', '\u00a0', ' \u3000 ');
const line = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(blank, license, blank).map((parts) => parts.join('')) },
  { weight: 1, arbitrary: fc.constantFrom('', '  ', '# a comment', ' # LIC-1', '#LIC-2, "quoted"') },
);

describe('a list of licences', () => {
  test('revokes what its lines say and nothing else, with any line ends', async () => {
    let revoked = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(line, { maxLength: 30 }),
        fc.constantFrom('\n', '\r\n', '\r'),
        fc.array(license, { maxLength: 5 }),
        async (lines, end, others) => {
          const { licenses, faults } = await read(lines.map((text) => text + end).join(''));
          const expected = new Set(
            lines.map((text) => text.trim()).filter((text) => text !== '' && !text.startsWith('#')),
          );
          expect(faults).toEqual([]);
          for (const asked of [...expected, ...others, '', ' ', '# a comment'])
            expect([asked, licenses.has(asked)]).toEqual([asked, expected.has(asked)]);
          revoked += expected.size;
        },
      ),
      { numRuns: 500 },
    );
    expect(revoked).toBeGreaterThan(500);
  });

  test.each([
    ['a comment beside a licence', 'LIC-1 # in May\n', 1, 6],
    ['a comment without a blank', 'A\nLIC-1#x\n', 2, 6],
    ['CSV with commas', 'id,reason\n', 1, 3],
    ['CSV with semicolons', 'LIC-1;stolen\n', 1, 6],
    ['quotes', '\n "LIC-1"\n', 2, 2],
    ['single quotes', "'LIC-1'\n", 1, 1],
    ['a list of YAML', '- LIC-1\n', 1, 2],
    ['two licences in a line', 'LIC-1 LIC-2\n', 1, 6],
    ['a tab inside', 'LIC-1\tstolen\n', 1, 6],
    ['bytes of UTF-16', 'L\0I\0C\0\n', 1, 2],
    ['text that was converted badly', 'LIC-\ufffd\n', 1, 5],
    ['no end of the last line', 'LIC-1\nLIC', 2, 4],
    ['no end of a last line that is a comment', '# empty', 1, 8],
  ])('is a mistake with %s', async (_, text, atLine, column) => {
    const { faults } = await read(text);
    expect(faults[0]).toMatchObject({ line: atLine, column });
  });

  test('tells ten mistakes of a list in another format, not each', async () => {
    expect((await read('a,b\n'.repeat(1000))).faults).toHaveLength(10);
  });

  test('says that it is meant to be empty with a line of its own', async () => {
    const saysEmpty = async (text: string) => (await read(text)).saysEmpty;
    expect(await Promise.all(['# empty\n', '#empty\r\n', '\n # Empty \n'].map(saysEmpty))).toEqual([
      true,
      true,
      true,
    ]);
    expect(await Promise.all(['', '# not empty\n', '# empty list\n'].map(saysEmpty))).toEqual([
      false,
      false,
      false,
    ]);
  });

  test('lets others have their turn while it is read', async () => {
    const lines = Array.from({ length: 50_000 }, (_, index) => `LIC-${index}\n`);
    let turns = 0;
    const { licenses } = await readRevocationList(lines.join(''), async () => {
      turns += 1;
    });
    expect(turns).toBeGreaterThanOrEqual(9);
    expect(licenses.size).toBe(50_000);
  });
});
