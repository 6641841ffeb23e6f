/** The log: one line an event, each decision with who asked for what and what became of it, and never a secret. */
import { afterAll, describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createLog, type LogLevel, logDecision } from '../../src/telemetry/log.ts';
import { createInstallation } from '../assemble/installation.ts';
import { basic } from '../support/ask.ts';
import { createHarness, noCertificate } from '../support/service.ts';
import { decodePart, type Overrides, SERVICE } from '../support/tokens.ts';

function collectLog(level: LogLevel, format: 'json' | 'pretty') {
  const lines: string[] = [];
  return { lines, log: createLog(level, format, (line) => lines.push(line)) };
}

describe('a line', () => {
  test('is JSON with time, level, message and its fields', () => {
    const { lines, log } = collectLog('info', 'json');
    log.warn('authority keys not fetched', {
      fault: 'a "quoted" fault\nof two lines',
      count: 2,
      list: ['a'],
      none: null,
    });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^\{[^\n]*\}\n$/);
    const { time, ...rest } = JSON.parse(lines[0] ?? '');
    expect(rest).toEqual({
      level: 'warn',
      message: 'authority keys not fetched',
      fault: 'a "quoted" fault\nof two lines',
      count: 2,
      list: ['a'],
      none: null,
    });
    expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(Math.abs(Date.parse(time) - Date.now())).toBeLessThan(5000);
  });

  test('is JSON that every reader takes and a terminal can show, whatever a stranger chose', () => {
    const { lines, log } = collectLog('info', 'json');
    const subject = 'Zoë \u001b[2J\u009b2J\u007f\u0085\u2028\u202e\u200b\ud800';
    log.info('refused', { subject, asked: [subject], claims: { tid: subject } });
    const [line = ''] = lines;
    expect(line).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}](?!$)/u);
    // RFC 8259 §8.2: what a reader does with a lone surrogate is unpredictable; some refuse the whole line.
    expect(line).not.toInclude('\\ud800');
    const shown = subject.toWellFormed();
    expect(JSON.parse(line)).toMatchObject({ subject: shown, asked: [shown], claims: { tid: shown } });
  });

  test('that warns or tells an error is written at once, with those before it', () => {
    const events: string[] = [];
    const log = createLog(
      'info',
      'json',
      (line) => events.push(JSON.parse(line).message),
      () => events.push('written'),
    );
    log.info('a');
    log.warn('b');
    log.error('c');
    expect(events).toEqual(['a', 'b', 'written', 'c', 'written']);
  });

  test('is one for a terminal, without what is not there', () => {
    const { lines, log } = collectLog('info', 'pretty');
    log.info('ready', { url: 'http://127.0.0.1:8085', none: null, list: ['a', 'b'], text: 'a b' });
    expect(lines.join('')).toMatch(
      /^\d\d:\d\d:\d\d info {2}ready url=http:\/\/127\.0\.0\.1:8085 list=\["a","b"\] text="a b"\n$/,
    );
  });

  test.each(['json', 'pretty'] as const)('begins with its priority for the journal, as %s', (format) => {
    const lines: string[] = [];
    const log = createLog('debug', format, (line) => lines.push(line), undefined, true);
    for (const at of ['debug', 'info', 'warn', 'error'] as const) log[at](at);
    expect(lines.map((line) => line.slice(0, 3))).toEqual(['<7>', '<6>', '<4>', '<3>']);
    for (const line of lines) expect(line.slice(3)).toMatch(format === 'json' ? /^\{.*\}\n$/ : /^\d\d:/);
  });

  test.each(['json', 'pretty'] as const)('stays one line as %s, whatever is in it', (format) => {
    const { lines, log } = collectLog('info', format);
    log.info('refused', {
      detail: 'first\nsecond\r\nthird\u2028',
      subject: 'a\n12:00:00 info  issued subject=root',
    });
    expect(
      lines
        .join('')
        .trimEnd()
        .split(/[\n\r]/),
    ).toHaveLength(1);
  });

  test('of a terminal holds no command for it', () => {
    const { lines, log } = collectLog('info', 'pretty');
    log.info('refused', { subject: 'a\u001b[2J\u009b1mb\u0007' });
    expect(lines.join('').replace(/\n$/, '')).not.toMatch(/\p{Cc}/u);
  });

  test.each<[LogLevel, string[]]>([
    ['debug', ['debug', 'info', 'warn', 'error']],
    ['info', ['info', 'warn', 'error']],
    ['warn', ['warn', 'error']],
    ['error', ['error']],
  ])('is written from the level %s on', (level, written) => {
    const { lines, log } = collectLog(level, 'json');
    for (const at of ['debug', 'info', 'warn', 'error'] as const) log[at]('x');
    expect(lines.map((line) => JSON.parse(line).level)).toEqual(written);
  });
});

test('each field of a decision stands in the reference, and no other', async () => {
  const { decisions, handle, opTok, proof } = await createHarness();
  const token = opTok();
  const headers = { Authorization: `DPoP ${token}`, DPoP: proof(token) };
  await handle(new Request(`http://x/token?service=${SERVICE}`, { headers }), noCertificate);
  const { lines, log } = collectLog('info', 'json');
  for (const decision of decisions) logDecision(log, decision);
  const reference = readFileSync(new URL('../../etc/README.md', import.meta.url), 'utf8');
  const table =
    /The fields of a decision[\s\S]*?\n\n(?<table>(?:\|.*\n)+)/.exec(reference)?.groups?.table ?? '';
  const documented = table
    .split('\n')
    .slice(2)
    .flatMap((row) => (row.split('|')[1] ?? '').match(/\w+/g) ?? []);
  expect([...Object.keys(JSON.parse(lines[0] ?? '{}')), 'fault'].sort()).toEqual(documented.sort());
});

describe('the line of a decision', async () => {
  const site = await createInstallation();
  afterAll(() => site[Symbol.asyncDispose]());
  site.configure({ revokedLicenses: ['LIC-1'], senderConstraint: { accept: ['dpop', 'mtls'] } });
  const { handle } = await site.open();

  async function ask(scope: string, overrides: Overrides = {}, headers?: Readonly<Record<string, string>>) {
    const opTok = site.opTok(overrides);
    const sent = headers ?? { Authorization: `DPoP ${opTok}`, DPoP: site.proof(opTok) };
    const before = site.logLines.length;
    const response = await handle(
      new Request(`http://x/token?service=${SERVICE}&scope=${encodeURIComponent(scope)}`, { headers: sent }),
      noCertificate,
    );
    const body = (await response.json()) as Record<string, unknown>;
    expect(site.logLines.length).toBe(before + 1);
    return { line: site.logLines.at(-1) ?? {}, body };
  }

  test('says who got what under which plan, and from where', async () => {
    const claims = { sub: 'alice', 'stellaops:plan': 'community', 'stellaops:license': 'LIC-2' };
    const { line, body } = await ask('repository:public/a:pull', { claims });
    expect(line).toEqual({
      time: expect.any(String),
      level: 'info',
      message: 'issued',
      subject: 'alice',
      authority: 'default',
      clientId: 'alice-cli',
      opTokJti: expect.stringMatching(/^[0-9a-f-]{36}$/),
      plan: 'community',
      license: 'LIC-2',
      claims: null,
      rule: 'claim',
      service: SERVICE,
      asked: ['repository:public/a:pull'],
      granted: ['repository:public/a:pull'],
      patterns: ['public/*'],
      reason: null,
      detail: null,
      address: '192.0.2.7',
      jti: decodePart(String(body.token), 1).jti,
      exp: decodePart(String(body.token), 1).exp,
      requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      generation: 1,
      durationMs: expect.any(Number),
    });
  });

  test('says who was refused what, and why', async () => {
    const { line } = await ask('repository:secret/a:pull,push');
    expect(line).toMatchObject({
      level: 'info',
      message: 'refused',
      subject: 'alice',
      asked: ['repository:secret/a:pull,push'],
      granted: [],
      reason: 'plan-denied',
      jti: null,
    });
    expect(line.detail).toInclude('secret/a');
  });

  test.each([
    [
      'a revoked licence',
      { 'stellaops:license': 'LIC-1' },
      'license-revoked',
      'LIC-1',
      'community',
      'default',
    ],
    [
      'a list of licences',
      { 'stellaops:license': ['L', 'LIC-1'] },
      'license-revoked',
      'L,LIC-1',
      'community',
      'default',
    ],
    ['an unknown plan', { 'stellaops:plan': 'gold' }, 'plan-unknown', null, 'gold', 'claim'],
    [
      'a plan that is no text',
      { 'stellaops:plan': 7, 'stellaops:license': 'L' },
      'plan-unknown',
      'L',
      null,
      null,
    ],
    [
      'a licence that is no text',
      { 'stellaops:license': {} },
      'license-revoked',
      null,
      'community',
      'default',
    ],
    ['a plan that denies', { 'stellaops:license': 'L' }, 'plan-denied', 'L', 'community', 'default'],
  ])(
    'says of %s which customer was refused, and under which plan',
    async (_, claims, reason, license, plan, rule) => {
      const { line } = await ask('repository:other/a:pull', {
        claims: { sub: 'alice', jti: 'op-1', tid: 'acme', ...claims },
      });
      expect(line).toMatchObject({ message: 'refused', reason, subject: 'alice', clientId: 'alice-cli' });
      expect(line).toMatchObject({
        license,
        plan,
        rule,
        opTokJti: 'op-1',
        generation: 1,
        patterns: [],
        exp: null,
      });
    },
  );

  test('says whose proof was used again, by what was known of the OpTok', async () => {
    const opTok = site.opTok({ claims: { 'stellaops:license': 'LIC-9' } });
    const headers = { Authorization: `DPoP ${opTok}`, DPoP: site.proof(opTok) };
    await ask('repository:public/a:pull', {}, headers);
    const { line } = await ask('repository:public/a:pull', {}, headers);
    expect(line).toMatchObject({ reason: 'proof-replayed', license: 'LIC-9', plan: 'community' });
  });

  test('has the claims that tell customers apart: the named ones, and those that patterns ask for', async () => {
    await using other = await createInstallation();
    other.configure({
      authority: { claims: { named: { namespace: ['kubernetes.io', 'namespace'], many: ['list'] } } },
      plans: { community: { repositories: [{ pattern: 'customers/{claim:tid}/*' }] } },
    });
    const { handle } = await other.open();
    const claims = {
      tid: 'acme',
      secret: 'x',
      'kubernetes.io': { namespace: 'n\u001b'.repeat(200) },
      list: ['a'],
    };
    const opTok = other.opTok({ claims });
    const scope = 'repository:customers/acme/a:pull';
    await handle(
      new Request(`http://x/token?service=${SERVICE}&scope=${scope}`, {
        headers: { Authorization: `DPoP ${opTok}`, DPoP: other.proof(opTok) },
      }),
      noCertificate,
    );
    const { claims: shown, patterns } = other.logLines.at(-1) as {
      claims: Record<string, string>;
      patterns: string[];
    };
    expect(Object.keys(shown).sort()).toEqual(['namespace', 'tid']);
    expect(shown.tid).toBe('acme');
    expect(shown.namespace).toMatch(/^[^\p{Cc}]{100,700}\.\.\.$/u);
    expect(patterns).toEqual(['customers/{claim:tid}/*']);
  });

  test('names nobody where the sender is not verified', async () => {
    const { line } = await ask('', { key: site.clientKey });
    expect(line).toMatchObject({ subject: null, plan: null, reason: 'token-signature', service: SERVICE });
  });

  test('tells an internal fault by name and place, without its message', async () => {
    const harness = await createHarness({
      signer: {
        sign: () => {
          throw new TypeError('the password is hunter2');
        },
      },
    });
    const opTok = harness.opTok();
    const headers = { Authorization: `DPoP ${opTok}`, DPoP: harness.proof(opTok) };
    const response = await harness.handle(
      new Request(`http://x/token?service=${SERVICE}`, { headers }),
      noCertificate,
    );
    expect(response.status).toBe(500);
    const { lines, log } = collectLog('info', 'json');
    const decision = harness.decisions.at(-1);
    if (decision !== undefined) logDecision(log, decision);
    const line = JSON.parse(lines[0] ?? '');
    expect(line).toMatchObject({ level: 'error', message: 'failed', reason: 'internal' });
    expect(line.fault).toMatch(/^TypeError at /);
    expect(lines.join('')).not.toInclude('hunter2');
  });

  test('never holds an OpTok, a proof or a part of one, however it came', async () => {
    const opTok = site.opTok();
    const proof = site.proof(opTok);
    const other = site.opTok({ key: site.clientKey });
    const ways: Record<string, string>[] = [
      { Authorization: `DPoP ${opTok}`, DPoP: proof },
      { Authorization: `DPoP ${opTok}`, DPoP: proof },
      { Authorization: `Bearer ${opTok}` },
      { Authorization: basic(opTok) },
      { Authorization: `DPoP ${opTok}`, DPoP: `${proof}, ${proof}` },
      { Authorization: `DPoP ${opTok}x`, DPoP: proof },
      { Authorization: `DPoP ${other}`, DPoP: proof },
      { Authorization: `Digest ${opTok}` },
      { Authorization: opTok },
      { Authorization: `Bearer ${opTok}, ${opTok}` },
      { Authorization: `DPoP ${opTok}`, DPoP: opTok },
    ];
    const start = site.logLines.length;
    for (const headers of ways) await ask('repository:public/a:pull', {}, headers);
    for (const field of ['password', 'refresh_token', 'scope', 'client_id']) {
      const body = new URLSearchParams({ service: SERVICE, grant_type: field, [field]: opTok });
      await handle(new Request('http://x/token', { method: 'POST', body }), noCertificate);
    }
    const text = JSON.stringify(site.logLines.slice(start));
    const parts = [opTok, proof, other].flatMap((jws) => jws.split('.')).filter((part) => part.length > 20);
    const hash = createHash('sha256').update(opTok).digest('base64url');
    const secrets = [...parts, ...parts.map((part) => Buffer.from(part).toString('base64')), hash];
    expect(secrets.filter((secret) => text.includes(secret))).toEqual([]);
  });
});
