/** `log`: which decisions it shows, and what it says of them. */
import { afterAll, describe, expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { log } from '../../src/cli/log.ts';
import { reasonTexts } from '../../src/reason-texts.ts';
import { type DecisionLine, decisionLine } from '../support/decision-lines.ts';
import { createTemporaryFolder, runOrFail, start } from '../support/processes.ts';
import { runCommand } from '../support/run-command.ts';

const folder = await createTemporaryFolder();
afterAll(() => folder[Symbol.asyncDispose]());

const at = (minute: number) =>
  new Date(Date.parse('2026-11-29T10:00:00.000Z') + minute * 60_000).toISOString();

const decisions: readonly DecisionLine[] = [
  { time: at(0), subject: 'alice', license: 'LIC-1', requestId: '11111111-aaaa' },
  {
    time: at(1),
    subject: 'bob',
    license: 'LIC-2',
    plan: 'pro',
    scope: 'repository:team/app:pull,push',
    requestId: '22222222-bbbb',
  },
  {
    time: at(2),
    subject: 'bob',
    license: 'LIC-2',
    plan: 'pro',
    scope: 'repository:secret/app:pull',
    reason: 'plan-denied',
    detail: 'The plan pro does not allow repository:secret/app:pull.',
    claims: { tid: "o'hara" },
    requestId: '33333333-cccc',
  },
  {
    time: at(3),
    subject: null,
    reason: 'token-expired',
    detail: 'The OpTok expired 40 s ago.',
    address: '203.0.113.9',
    requestId: '44444444-dddd',
  },
  {
    time: at(4),
    subject: 'carol',
    license: 'LIC-1,LIC-3',
    scope: 'repository:team/sub/app:pull',
    jti: 'jti-5',
    requestId: '55555555-eeee',
  },
  {
    time: at(5),
    subject: 'dave',
    license: 'LIC-4',
    reason: 'license-revoked',
    detail: 'The licence LIC-4 is revoked.',
    requestId: '66666666-ffff',
  },
];
const lines = decisions.map(decisionLine);
const input = lines.join('');

/** The request IDs that are shown, by their first digit. */
async function shown(...args: readonly string[]): Promise<string> {
  const { stdout, exitCode } = await runCommand(log, ['--file', '-', '--json', '--utc', ...args], input);
  expect(exitCode).toBe(0);
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line).requestId[0])
    .join('');
}

test.each([
  [[], '123456'],
  [['--denied'], '346'],
  [['--issued'], '125'],
  [['--subject', 'bob'], '23'],
  [['--subject', 'bo'], ''],
  [['--license', 'LIC-1'], '15'],
  [['--license', 'LIC-3'], '5'],
  [['--license', 'LIC'], ''],
  [['--plan', 'pro', '--denied'], '3'],
  [['--repository', 'team/app'], '2'],
  [['--repository', 'team/*'], '2'],
  [['--repository', 'team/**'], '25'],
  [['--repository', '*/app'], '23'],
  [['--reason', 'license-revoked'], '6'],
  [['--request-id', '33333333'], '3'],
  [['--request-id', '33333333-cccc'], '3'],
  [['--authority', 'default'], '12356'],
  [['--client-id', 'alice-cli', '--subject', 'dave'], '6'],
  [['--address', '203.0.113.9'], '4'],
  [['--jti', 'jti-5'], '5'],
  [['--since', '2026-11-29T10:03', '--until', '2026-11-29T10:05'], '45'],
  [['--since', '2026-11-29T11:03+01:00'], '456'],
  [['--last', '2'], '56'],
])('log %p shows the decisions %p', async (args, expected) => {
  expect(await shown(...args)).toBe(expected);
});

describe('the table', () => {
  const table = async (...args: readonly string[]) =>
    (await runCommand(log, ['--file', '-', '--utc', ...args], input)).stdout.split('\n');

  test('has a row for each decision under its day, and says in which zone the times are', async () => {
    const [head, day, ...rows] = await table();
    expect(head).toMatch(/^TIME +OUTCOME +WHO +LICENCE +PLAN +ASKED -> GRANTED +REASON +REQUEST ID$/);
    expect(day).toBe('2026-11-29 (UTC)');
    expect(rows[0]).toMatch(
      /^10:00:00 {2}issued +alice \(alice-cli\) +LIC-1 +community +public\/a:pull +- +11111111-aaaa$/,
    );
    expect(rows[2]).toMatch(
      /^10:02:00 {2}refused +bob \(alice-cli\) +LIC-2 +pro +secret\/app:pull +plan-denied +33333333-cccc$/,
    );
    expect(rows).toHaveLength(7);
  });

  test('has no column in which nothing stands', async () => {
    const [head] = await table('--license', 'LIC-1');
    expect(head).not.toInclude('REASON');
  });

  test('shows what was granted where that is less than what was asked', async () => {
    const line = decisionLine({ time: at(0), scope: 'repository:public/a:pull,push' }).replace(
      '"granted":["repository:public/a:pull,push"]',
      '"granted":["repository:public/a:pull"]',
    );
    const { stdout } = await runCommand(log, ['--file', '-'], line + line);
    expect(stdout).toInclude('public/a:pull,push -> public/a:pull');
  });

  test('of a single decision is all that is known of it, with its meaning and what to do', async () => {
    const text = (await table('--request-id', '33333333')).join('\n');
    expect(text).toInclude('2026-11-29 10:02:00 UTC  refused  plan-denied');
    expect(text).toInclude('The plan pro does not allow repository:secret/app:pull.');
    expect(text).toInclude(reasonTexts['plan-denied'].mend);
    expect(text).toInclude(
      `registry-token explain --plan pro --claim 'tid=o'\\''hara' repository:secret/app:pull`,
    );
  });

  test('with --explain is that for each', async () => {
    const text = (await table('--explain', '--denied')).join('\n');
    expect(text.match(/what to do/g)).toHaveLength(3);
    expect(text).toInclude(reasonTexts['token-expired'].mend);
    expect(text).toInclude('not known: no OpTok was verified');
  });

  test('has the last thousand, and says of how many', async () => {
    const many = Array.from({ length: 1500 }, (_, index) =>
      decisionLine({ time: at(index / 60), requestId: `id-${index}-` }),
    );
    const { stdout, stderr } = await runCommand(log, ['--file', '-'], many.join(''));
    expect(stdout).not.toInclude('id-499-');
    expect(stdout).toInclude('id-500-');
    expect(stdout).toInclude('id-1499-');
    expect(stderr).toInclude('The last 1000 of 1500');
  });
});

test('nothing in a line commands the terminal', async () => {
  const hostile = '\u001b]0;x\u0007\u009b2J\u202e\r\n\u2028<script>';
  const line = decisionLine({
    time: at(0),
    subject: hostile,
    clientId: hostile,
    license: hostile,
    plan: hostile,
    claims: { [`tid${hostile}`]: hostile },
    service: hostile,
    reason: 'plan-denied',
    detail: hostile,
    requestId: hostile,
    address: hostile,
  });
  for (const form of [[], ['--explain'], ['--json'], ['--wide'], ['--follow']]) {
    const { stdout } = await runCommand(
      log,
      ['--file', '-', ...form],
      line + line + line.replace('"plan-denied"', '"a\\u001b[2J"'),
    );
    expect(stdout.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}]/u);
    expect(stdout).toInclude('u001b');
  }
});

test('several files are one log in the order of time, compressed or not', async () => {
  const [a, b, c, d, e, f] = lines;
  writeFileSync(folder.at('one'), `${a}${d}`);
  writeFileSync(folder.at('two'), gzipSync(Buffer.from(`${b}${e}`)));
  writeFileSync(folder.at('three'), zstdCompressSync(Buffer.from(`${c}${f}`)));
  const { stdout } = await runCommand(log, [
    '--json',
    '--file',
    folder.at('three'),
    folder.at('one'),
    '--file',
    folder.at('two'),
  ]);
  expect(stdout).toBe(input);
});

test.each([
  ['plain lines', ['cat']],
  ['gzip', ['gzip', '--stdout']],
] as const)('a pipe of %s is read as a file is', async (_, [program, ...options]) => {
  writeFileSync(folder.at('piped'), input);
  await runOrFail(['mkfifo', folder.at(`fifo-${program}`)]);
  await using _writer = start([
    'sh',
    '-c',
    'exec "$@" > "$0"',
    folder.at(`fifo-${program}`),
    program,
    ...options,
    folder.at('piped'),
  ]);
  const { exitCode, stdout, stderr } = await runCommand(log, [
    '--json',
    '--file',
    folder.at(`fifo-${program}`),
  ]);
  expect([exitCode, stdout, stderr]).toEqual([0, input, '']);
});

describe('what cannot be read', () => {
  const run = (...args: readonly string[]) => runCommand(log, args);

  test('fails and says why, and the rest is shown', async () => {
    writeFileSync(folder.at('good'), input);
    writeFileSync(folder.at('cut.gz'), gzipSync(Buffer.from(input)).subarray(0, -20));
    writeFileSync(folder.at('old.xz'), Buffer.from('fd377a585a0000', 'hex'));
    for (const [name, message] of [
      ['cut.gz', 'cut.gz is cut off or damaged'],
      ['old.xz', `xz -dc ${folder.at('old.xz')} | registry-token log --file -`],
      ['none', 'none does not exist'],
      ['.', 'is a folder'],
    ] as const) {
      const { exitCode, stdout, stderr } = await run('--json', '--file', folder.at(name), folder.at('good'));
      expect([exitCode, stderr]).toEqual([1, expect.stringContaining(message)]);
      expect(stdout).toInclude('66666666-ffff');
    }
  });

  test('is half a line: it is counted, and no failure', async () => {
    const { exitCode, stderr, stdout } = await runCommand(
      log,
      ['--file', '-', '--json'],
      `${input.slice(0, 100)}\n${input}`,
    );
    expect([exitCode, stdout]).toEqual([0, input]);
    expect(stderr).toInclude('1 line is no JSON: half a line after a power cut');
  });
});

test('where nothing matches it says what was searched', async () => {
  const { exitCode, stdout, stderr } = await runCommand(
    log,
    ['--file', '-', '--utc', '--subject', 'zoe'],
    input,
  );
  expect([exitCode, stdout]).toEqual([0, '']);
  expect(stderr).toBe(
    'No decision matches. Searched 6 lines of standard input, from 2026-11-29 10:00:00 UTC to 2026-11-29 10:05:00 UTC.\n',
  );
});

test('a licence that holds a comma is found, alone and among others', async () => {
  const now = new Date().toISOString();
  const lines = ['Acme, Inc.', 'LIC-1,Acme, Inc.,LIC-2', 'Acme', 'Acme, Inc. 2'].map((license, index) =>
    decisionLine({ time: now, license, jti: `jti-${index}`, lifetime: 900 }),
  );
  const { stdout } = await runCommand(
    log,
    ['--file', '-', '--json', '--tokens-of', 'Acme, Inc.'],
    lines.join(''),
  );
  expect(stdout).toBe(lines.slice(0, 2).join(''));
});

test('--tokens-of lists what is still good of a licence, and until when', async () => {
  const now = Math.floor(Date.now() / 1000);
  const ago = (seconds: number) => new Date((now - seconds) * 1000).toISOString();
  const lines = [
    decisionLine({ time: ago(400), license: 'LIC-1', jti: 'over', lifetime: 300 }),
    decisionLine({ time: ago(200), license: 'LIC-1', jti: 'good', lifetime: 900 }),
    decisionLine({ time: ago(100), license: 'LIC-2', jti: 'other', lifetime: 900 }),
    decisionLine({ time: ago(50), license: 'LIC-3,LIC-1', jti: 'both', lifetime: 300 }),
    decisionLine({ time: ago(20), license: 'LIC-1', jti: 'older', lifetime: 300 }).replace(/"exp":\d+,/, ''),
    decisionLine({ time: ago(10), license: 'LIC-1', reason: 'license-revoked' }),
  ].join('');
  const { stdout, stderr } = await runCommand(log, ['--file', '-', '--tokens-of', 'LIC-1', '--utc'], lines);
  const clock = (seconds: number) => new Date((now + seconds) * 1000).toISOString().slice(11, 19);
  const rows = stdout.split('\n').filter((row) => /^\d\d:/.test(row));
  expect(rows.map((row) => row.split(/ {2,}/).at(-1))).toEqual(['good', 'both', 'older']);
  expect(rows.map((row) => row.split(/ {2,}/)[1])).toEqual([
    clock(700),
    clock(250),
    `at most ${clock(3580)}`,
  ]);
  expect(stderr).toInclude('3 tokens are still valid for the licence LIC-1, the last until');
  const none = await runCommand(log, ['--file', '-', '--tokens-of', 'LIC-9'], lines);
  expect([none.exitCode, none.stdout]).toEqual([0, '']);
  expect(none.stderr).toInclude('No token of the licence LIC-9 is still valid.');
});

test.each([
  [['--denied', '--issued'], 'cannot be combined'],
  [['--since', 'lately'], '--since must be a duration before now (90s, 30m, 1h, 2d), today'],
  [['--since', '1h', '--until', '2h'], '--since must be before --until'],
  [['--reason', 'denied'], 'unknown reason denied; the reasons are malformed-request, '],
  [['--request-id', '1234567'], '8 characters'],
  [['--repository', 'a/{claim:tid}'], 'takes no claims'],
  [['--repository', 'a//b'], 'empty path segment'],
  [['--last', '0'], '--last must be a number from 1'],
  [['--json', '--explain'], 'cannot be combined'],
  [['--unit', 'a b'], '--unit must be the name of a unit'],
  [['--file', 'a', '--unit', 'b'], 'cannot be combined'],
  [['--file', '-', 'a'], 'standard input alone'],
  [['audit.log'], 'a file is named with --file'],
  [['--follow', '--until', 'now', '--file', 'a'], '--follow cannot be combined'],
  [['--tokens-of', 'L', '--denied'], 'cannot be combined'],
] as const)('log %p is a usage error', async (args, message) => {
  const { exitCode, stderr } = await runCommand(log, args);
  expect([exitCode, stderr]).toEqual([2, expect.stringContaining(message)]);
});
