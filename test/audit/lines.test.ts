/** Searching lines: what the bytes decide is what parsing every line would decide, however the lines are cut into chunks. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { parseDecision } from '../../src/audit/decision.ts';
import { LineBlocks, Searched, searchBlock } from '../../src/audit/lines.ts';
import { createMatcher, everything, type Selection } from '../../src/audit/selection.ts';
import { decisionLine } from '../support/decision-lines.ts';

function search(bytes: Buffer, selection: Selection, chunk = 64 * 1024) {
  const searched = new Searched();
  const blocks = new LineBlocks();
  const matcher = createMatcher(selection);
  const found = [];
  for (let at = 0; at < bytes.length; at += chunk) {
    // As a reader does that uses its memory again.
    const part = Buffer.from(bytes.subarray(at, at + chunk));
    found.push(...searchBlock(blocks.push(part), matcher, searched));
    part.fill(0);
  }
  found.push(...searchBlock(blocks.end(), matcher, searched));
  return { searched, found, skipped: blocks.skipped };
}

const at = (second: number) => new Date(Date.parse('2026-11-29T00:00:00.000Z') + second * 1000).toISOString();

/** Values that are part of others, that need escapes, and that look like a line's own structure. */
const values = [
  'alice',
  'ali',
  '"a',
  'a"',
  'Zoë',
  'a"b',
  'a\\b',
  'LIC-1',
  'LIC-11',
  '","message":"issued"}',
  '{"level":"',
  'über\n',
];
const value = fc.constantFrom(...values);
const line = fc
  .record({
    second: fc.nat(5),
    subject: value,
    plan: value,
    license: fc.option(fc.array(value, { minLength: 1, maxLength: 2 })),
    claims: fc.record({ tid: value, message: value, plan: value, subject: value }),
    scope: fc.constantFrom(
      'repository:team/a:pull',
      'repository:team/a/b:push',
      'registry:catalog:*',
      'repository:other:pull',
    ),
    reason: fc.option(fc.constantFrom('plan-denied', 'license-revoked', 'internal')),
  })
  .map(({ second, license, reason, ...rest }) =>
    decisionLine({
      ...rest,
      time: at(second),
      license: license?.join(',') ?? null,
      ...(reason === null ? {} : { reason: reason as 'plan-denied', detail: rest.subject }),
    }),
  );
/** The same value in another form: what a person edited, or another program wrote. */
const rewritten = line.map((text) => {
  const { message, ...fields } = JSON.parse(text);
  return `${JSON.stringify({ message, ...fields })}\n`;
});
const selection: fc.Arbitrary<Selection> = fc.record({
  since: fc.option(fc.nat(5).map((second) => Date.parse(at(second)))),
  until: fc.option(fc.nat(5).map((second) => Date.parse(at(second)))),
  outcome: fc.constantFrom('issued' as const, 'denied' as const, null),
  fields: fc.array(fc.tuple(fc.constantFrom('subject' as const, 'plan' as const), value), { maxLength: 2 }),
  license: fc.option(value),
  requestId: fc.constant(null),
  repository: fc.option(fc.constantFrom('team/*', 'team/**', 'other', '**', '*')),
  validAt: fc.option(fc.integer({ min: 298, max: 308 }).map((second) => Date.parse(at(second)) / 1000)),
});

test('finds what parsing and testing every line finds', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(line, rewritten), { maxLength: 20 }),
      selection,
      fc.integer({ min: 1, max: 2000 }),
      (lines, asked, chunk) => {
        const expected = lines.filter((text) => isAsked(text, asked)).map((text) => text.trimEnd());
        const { found, searched } = search(Buffer.from(lines.join('')), asked, chunk);
        expect(found.filter(({ decision }) => decision !== null).map((match) => match.line)).toEqual(
          expected,
        );
        expect(searched.lines).toBe(lines.length);
        expect(searched.unreadable).toBe(0);
      },
    ),
    { numRuns: 500 },
  );
});

/** The meaning of a selection, in plain words. */
function isAsked(text: string, asked: Selection): boolean {
  const line = JSON.parse(text);
  const time = Date.parse(line.time);
  const names = [...line.asked, ...line.granted].flatMap(
    (scope: string) => /^repository:(.*):/.exec(scope)?.[1] ?? [],
  );
  const patterns: Record<string, RegExp> = {
    'team/*': /^team\/[^/]+$/,
    'team/**': /^team\/./,
    other: /^other$/,
    '**': /./,
    '*': /^[^/]+$/,
  };
  return (
    (asked.since === null || time >= asked.since) &&
    (asked.until === null || time < asked.until) &&
    (asked.outcome === null || (line.message === 'issued') === (asked.outcome === 'issued')) &&
    asked.fields.every(([field, wanted]) => line[field] === wanted) &&
    (asked.license === null || `,${line.license ?? '\u0000'},`.includes(`,${asked.license},`)) &&
    (asked.repository === null ||
      names.some((name: string) => patterns[asked.repository ?? '']?.test(name))) &&
    (asked.validAt === null || (line.message === 'issued' && line.exp > asked.validAt))
  );
}

describe('a file that was cut short', () => {
  const first = decisionLine({ time: at(1), subject: 'first' });
  const second = decisionLine({ time: at(2), subject: 'second' });
  const subjects = (bytes: string) => {
    const { found, searched } = search(Buffer.from(bytes), {
      ...everything,
      fields: [['plan', 'community']],
    });
    return { subjects: found.map(({ decision }) => decision?.subject), unreadable: searched.unreadable };
  };

  test('tells its half lines and shows the others', () => {
    expect(subjects(`${first}${second.slice(0, 200)}\n${second}`)).toEqual({
      subjects: ['first', 'second'],
      unreadable: 1,
    });
    expect(subjects(`${first}${second.slice(0, 200)}`)).toEqual({ subjects: ['first'], unreadable: 1 });
    expect(subjects(`no log\n${first}\0\0\0\n`)).toEqual({ subjects: ['first'], unreadable: 2 });
  });

  test('shows the line that was written behind the half one', () => {
    expect(subjects(`${first.slice(0, 300)}${second}`)).toEqual({ subjects: ['second'], unreadable: 1 });
    expect(
      search(Buffer.from(`${first.slice(0, 300)}${second}`), everything).found.map(
        ({ decision }) => decision?.subject,
      ),
    ).toEqual(['second']);
  });

  test('may hold a line that is none of ours and never ends', () => {
    const bytes = Buffer.from(`${first}{${'x'.repeat(3_000_000)}\n${second}`);
    const { found, skipped } = search(bytes, everything);
    expect(found).toHaveLength(2);
    expect(skipped).toBe(1);
  });
});

test('a line of another event is no decision, whatever its text', () => {
  const lines = [
    '{"level":"info","time":"2026-11-29T00:00:00.000Z","message":"ready"}',
    '{"level":"info","time":"2026-11-29T00:00:00.000Z","requestId":7,"message":"issued"}',
    '{"message":"issued","time":7,"requestId":"a"}',
    '[{"message":"issued"}]',
    'null',
  ];
  for (const text of lines) expect(parseDecision(text)).toBeNull();
  const { found } = search(Buffer.from(`${lines.join('\n')}\n`), everything);
  expect(found.flatMap(({ decision }) => decision ?? [])).toEqual([]);
});
