/** The console's answers: who may have them, what is in them, and that nothing in them is markup but ours. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { LastHour } from '../../src/console/last-hour.ts';
import { RecentDecisions } from '../../src/console/recent-decisions.ts';
import { Counters } from '../../src/telemetry/counters.ts';
import { decisionLine } from '../support/decision-lines.ts';
import { type Example, NOW, readData, serveExample } from './example.ts';
import { hostileDecision, hostileTexts } from './hostile.ts';

setDefaultTimeout(30_000);

let example: Example;
beforeAll(async () => {
  example = await serveExample();
});
afterAll(() => example?.[Symbol.asyncDispose]());

const get = (path: string, init: RequestInit = {}) =>
  fetch(`${example.url}${path}`, { redirect: 'manual', ...init });
const page = async (query = '') => (await get(`/console${query}`)).text();
const data = async (query = '') => readData(await get(`/console/data${query}`));

describe('an answer', () => {
  test.each([
    ['/console', 'text/html; charset=utf-8'],
    ['/console/data', 'application/json'],
    ['/console/style.css', 'text/css; charset=utf-8'],
    ['/console/script.js', 'text/javascript; charset=utf-8'],
  ])('of %s is kept by nobody, framed by nobody and allows nothing inline', async (path, type) => {
    const { status, headers } = await get(path);
    expect(status).toBe(200);
    expect(headers.get('content-type')).toBe(type);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('x-frame-options')).toBe('DENY');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('referrer-policy')).toBe('no-referrer');
    expect(headers.get('cross-origin-resource-policy')).toBe('same-origin');
    expect(headers.get('set-cookie')).toBeNull();
    expect(headers.get('access-control-allow-origin')).toBeNull();
    const policy = headers.get('content-security-policy') ?? '';
    expect(policy).toStartWith("default-src 'none';");
    expect(policy).toInclude("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe|\*|https?:|data:/);
  });

  test.each(['POST', 'PUT', 'DELETE', 'PATCH'])('to %s is 405', async (method) => {
    const { status, headers } = await get('/console', { method });
    expect([status, headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });

  test.each(['evil.example', 'evil.example:9095', '127.0.0.1.evil.example', ''])(
    'to the Host "%s" is 421: a page of another name reads nothing here',
    async (host) => {
      for (const path of ['/console', '/console/data', '/console/script.js'])
        expect((await get(path, { headers: { Host: host } })).status).toBeGreaterThanOrEqual(400);
    },
  );

  test.each(['cross-site', 'same-site'])(
    'to a page of another site (%s) is a navigation or nothing',
    async (site) => {
      const ask = async (mode: string) =>
        (await get('/console/data', { headers: { 'Sec-Fetch-Site': site, 'Sec-Fetch-Mode': mode } })).status;
      expect([await ask('no-cors'), await ask('cors'), await ask('navigate')]).toEqual([403, 403, 200]);
    },
  );

  test.each(['/console/', '/console/none', '/console/data/x', '/consoles'])('of %s is 404', async (path) => {
    expect((await get(path)).status).toBe(404);
  });
});

test('the page is under 60 KB with a thousand decisions in memory', async () => {
  await using full = await serveExample(
    Array.from({ length: 1200 }, (_, index) => ({
      time: new Date((NOW - 1200 + index) * 1000).toISOString(),
      subject: `system:serviceaccount:some-namespace-${index}:default-builder`,
      license: `LIC-2026-${index}-ENTERPRISE`,
      claims: { tid: 'customer-of-usual-length' },
      scope: `repository:customers/customer-of-usual-length/services/app-${index}:pull,push`,
    })),
  );
  const text = await (await fetch(`${full.url}/console`)).text();
  expect(text).toInclude('The last 1000 decisions are in memory.');
  expect(Buffer.byteLength(text)).toBeLessThan(60_000);
});

describe('the page', () => {
  test('shows each part, the worst first, with the command that mends it', async () => {
    const text = await page();
    expect(text.indexOf('replay-store')).toBeLessThan(text.indexOf('signing-certificate'));
    expect(text.indexOf('signing-certificate')).toBeLessThan(text.indexOf('>signing-key<'));
    expect(text).toInclude('<code>systemctl status redis-server</code>');
  });

  test('shows the last decisions that match, and leads to the older ones', async () => {
    const text = await page('?outcome=denied&reason=license-revoked');
    expect(text).toInclude('LIC-4714');
    expect(text).not.toInclude('LIC-4711');
    const all = await page();
    expect(all.match(/#why">\d\d:/g)).toHaveLength(40);
    expect(all).toInclude('href="/console?skip=40#decisions">Older');
    const older = await page('?skip=160');
    expect(older.match(/#why">\d\d:/g)).toHaveLength(20);
    expect(older).toInclude('href="/console?skip=120#decisions">Newer');
    expect(older).not.toInclude('Older');
  });

  test('explains a decision: which rule of the file, what the reason means and what to do', async () => {
    const { decisions } = await data('?outcome=issued&subject=ci-globex');
    const issued = await page(`?id=${decisions[0]?.requestId}`);
    expect(issued).toInclude('public/*');
    const denied = await data('?reason=plan-denied');
    const why = await page(`?id=${denied.decisions[0]?.requestId}`);
    expect(why).toInclude('does not allow repository:stella-ops/internal/tool:pull.');
    expect(why).toInclude('it names the nearest rule');
    expect(why).toMatch(/href="\/console\?try-plan=\w+&amp;[^"]*scope=repository%3A[^"]*#try"/);
    expect(await page('?id=none')).toInclude('registry-token log --request-id finds it');
  });

  test('tries out a plan with claims, and names the line that decides', async () => {
    const query = new URLSearchParams({
      'try-plan': 'community',
      claims: '{"tid": "acme"}',
      scope: 'repository:customers/acme/app:pull',
    });
    const granted = await page(`?${query}`);
    expect(granted).toInclude('A token would be issued.');
    expect(granted).toMatch(
      /by customers\/\{claim:tid\}\/\* \(\/etc\/registry-token\/registry-token\.yaml:\d+:\d+\)/,
    );
    query.set('claims', '{"tid": "globex"}');
    const denied = await page(`?${query}`);
    expect(denied).toInclude('It would be refused.');
    expect(denied).toInclude('nearest is customers/{claim:tid}/*');
    query.set('claims', '[1]');
    expect(await page(`?${query}`)).toInclude('must be a JSON object');
    query.set('claims', '');
    query.set('scope', 'nonsense');
    expect(await page(`?${query}`)).toInclude('malformed-scope');
    query.set('scope', 'repository:a:pull');
    query.set('try-authority', 'other');
    expect(await page(`?${query}`)).toInclude('there is no Authority other');
    query.set('try-authority', 'default');
    query.set('try-license', 'LIC-4714');
    expect(await page(`?${query}`)).toInclude('license-revoked');
  });

  test.each(['claims', 'scope', 'try-plan', 'id', 'subject', 'anything'])(
    'shows nothing of a token that was pasted as %s',
    async (name) => {
      const token = `${Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')}.e30.c2lnbmF0dXJl`;
      const text = await page(`?${new URLSearchParams({ scope: 'repository:a:pull', [name]: token })}`);
      expect(text).toInclude('What looks like a token was in the address.');
      expect(text).not.toInclude(token.slice(0, 20));
      expect(text).not.toInclude('c2lnbmF0dXJl');
    },
  );

  test('says why a filter cannot be used', async () => {
    expect(await page('?repository=a//b')).toInclude(
      'The pattern of the repository has an empty path segment.',
    );
    expect(await page('?repository=%7Bclaim:tid%7D')).toInclude('takes no claims');
  });
});

test('the data has the same for programs', async () => {
  const { at, status, minutes, kept, fault, decisions } = await data(
    '?repository=customers/acme/*&outcome=issued',
  );
  expect(at).toBe('2026-11-29T03:12:40.000Z');
  expect(status.parts).toHaveLength(7);
  expect(minutes).toHaveLength(60);
  expect(minutes.at(-1)).toEqual({
    at: '2026-11-29T03:12:00.000Z',
    issued: expect.any(Number),
    refused: expect.any(Object),
  });
  expect([kept, fault]).toEqual([180, null]);
  expect(new Set(decisions.map(({ subject }) => subject))).toEqual(new Set(['ci-acme']));
  expect(String(decisions[0]?.time) > String(decisions[1]?.time)).toBe(true);
});

describe('hostile text', () => {
  test('is no markup and no terminal command, wherever it comes from', async () => {
    await using hostile = await serveExample(hostileTexts.map((text, index) => hostileDecision(text, index)));
    hostile.report.current = {
      ...hostile.report.current,
      parts: hostileTexts.map((text) => ({
        name: text,
        state: 'error',
        sentence: text,
        command: text,
        facts: { [text]: text },
      })),
    };
    const { decisions } = await readData(await fetch(`${hostile.url}/console/data`));
    expect(decisions).toHaveLength(hostileTexts.length);
    const names = [
      'outcome',
      'subject',
      'license',
      'plan',
      'reason',
      'repository',
      'address',
      'id',
      'skip',
      'try-plan',
      'try-license',
      'try-authority',
      'claims',
      'scope',
    ];
    const queries = [
      '',
      ...decisions.map(({ requestId }) => `?${new URLSearchParams({ id: requestId })}`),
      ...hostileTexts.flatMap((text) => [
        `?${new URLSearchParams(names.map((name): [string, string] => [name, text]))}`,
        ...names.map((name) => `?${new URLSearchParams({ scope: 'repository:a:pull', [name]: text })}`),
        `?${new URLSearchParams({ scope: text, claims: JSON.stringify({ [text]: text }) })}`,
        `?${new URLSearchParams({ [text]: text })}`,
      ]),
    ];
    for (const query of queries) {
      for (const path of ['/console', '/console/data']) {
        const response = await fetch(`${hostile.url}${path}${query}`, {
          headers: { 'User-Agent': '<script>alert(1)</script>' },
        });
        expect(response.status).toBe(200);
        const text = await response.text();
        expect(text.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202a-\u202e\u2066-\u2069\u2028\u2029]/u);
        if (path === '/console/data') continue;
        // Every element and every attribute of the page is one of ours.
        const tags = [...text.matchAll(/<(!?[^\s<>/]+)/g)].map(([, tag]) => tag);
        expect(tags.filter((tag) => !ourTags.has(tag ?? ''))).toEqual([]);
        expect(text.match(/<script/g)).toHaveLength(1);
        expect(text.replace(/"[^"]*"/g, '""')).not.toMatch(/<[^>]*\s(?:on\w+|srcdoc|autofocus)\b/);
        expect(text).not.toMatch(/(?:href|src|action)="[^"]*javascript:/i);
      }
    }
  });
});

const ourTags = new Set(
  '!doctype html head meta title link script body a header h1 h2 h3 nav p label input span b main section table thead tbody tr th td br code div svg path text form select option button dl dt dd textarea pre footer'.split(
    ' ',
  ),
);

describe('the memory of decisions', () => {
  test('has the last ones, bounded in number and in length', () => {
    const recent = new RecentDecisions(3, 1000);
    recent.add('a\nb\n');
    recent.add('c\nd\n');
    expect([...recent.newest()]).toEqual(['d', 'c', 'b']);
    recent.add(`${'e'.repeat(999)}\n`);
    expect([...recent.newest()].map((line) => line.length)).toEqual([999, 1]);
    recent.add(`${'f'.repeat(2000)}\n`);
    expect(recent.count).toBe(0);
    recent.add('g\n');
    expect([...recent.newest()]).toEqual(['g']);
  });

  test('passes over a line that is no decision', async () => {
    await using other = await serveExample([]);
    other.recent.add('{"message":"ready"}\n');
    other.recent.add(decisionLine({ time: '2026-11-29T03:00:00.000Z', subject: 'zoe' }));
    const { decisions } = await readData(await fetch(`${other.url}/console/data`));
    expect(decisions.map(({ subject }) => subject)).toEqual(['zoe']);
  });
});

describe('the last hour', () => {
  test('counts each minute what all threads have counted, and forgets what is older', () => {
    const counters = new Counters();
    counters.announcePlans(['a', 'b']);
    counters.issued('a', 0);
    const hour = new LastHour(counters);
    const other = new Counters(counters.memory);
    other.announcePlans(['a', 'b']);
    other.issued('b', 0);
    counters.rejected('plan-denied', 0);
    hour.sample(NOW - 3600);
    counters.issued('a', 0);
    hour.sample(NOW - 3540);
    counters.rejected('proof-replayed', 0);
    counters.rejected('proof-replayed', 0);
    const minutes = hour.minutes(NOW);
    expect(minutes).toHaveLength(60);
    expect(minutes[0]).toEqual({ at: Math.floor((NOW - 3540) / 60) * 60, issued: 1, refused: {} });
    expect(minutes.at(-1)).toMatchObject({ issued: 0, refused: { 'proof-replayed': 2 } });
  });

  test('forgets the future of a clock that was set back', () => {
    const counters = new Counters();
    counters.announcePlans(['a']);
    const hour = new LastHour(counters);
    counters.issued('a', 0);
    hour.sample(NOW + 600);
    hour.sample(NOW);
    expect(hour.minutes(NOW + 600).reduce((sum, { issued }) => sum + issued, 0)).toBe(0);
  });
});
