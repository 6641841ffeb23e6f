/** The Authority's keys: whose metadata counts, and how much of it. */
import { describe, expect, test } from 'bun:test';
import { fetchKeySet, fetchMetadata, fetchText, metadataUrlsOf } from '../../src/authority/discovery.ts';
import { describeWith } from '../support/debian-parts.ts';
import { type Heard, startFakeServer } from '../support/fake-server.ts';
import {
  answersAfter,
  answersJson,
  answersStatus,
  answersText,
  type Behaviour,
  createCompressedBomb,
  cutsOff,
  floods,
  hangsUp,
  KEY_SET_PATH,
  METADATA_PATH,
  redirectsTo,
  startFaultyAuthority,
  staysSilent,
  stopsMidway,
  trickles,
} from '../support/faulty-authority.ts';
import { createTemporaryFolder, runOrFail, type TemporaryFolder } from '../support/processes.ts';
import { ISSUER } from '../support/tokens.ts';

const system = { certificateAuthorities: null };

/** What `fetchMetadata` makes of metadata that is answered so: a URL, or the message of its error. */
async function discover(metadata: Behaviour): Promise<string> {
  await using authority = await startFaultyAuthority([]);
  authority.behave({ metadata });
  return await jwksUriFrom(authority.metadataUrl).catch(messageOf);
}

async function jwksUriFrom(url: string, certificateAuthorities: string | null = null): Promise<string> {
  return (await fetchMetadata([url], ISSUER, { certificateAuthorities })).jwks_uri;
}

const jwksUriOf = (jwksUri: unknown) => discover(answersJson({ issuer: ISSUER, jwks_uri: jwksUri }));

function messageOf(cause: unknown): string {
  if (!(cause instanceof Error)) throw cause;
  return `refused: ${cause.message}`;
}

describe("Authority's keys rule 1: the metadata names authority.issuer, letter by letter", () => {
  test('takes the jwks_uri of its own issuer', async () => {
    await using authority = await startFaultyAuthority([]);
    const jwksUri = await jwksUriFrom(authority.metadataUrl);
    expect(jwksUri).toBe(`${authority.origin}${KEY_SET_PATH}`);
    expect(authority.requests).toEqual([METADATA_PATH]);
  });

  test.each([
    ['another one', 'https://evil.example.com'],
    ['one with a slash at its end', `${ISSUER}/`],
    ['one in capital letters', ISSUER.toUpperCase()],
    ['one with its default port', `${ISSUER}:443`],
    ['one below it', `${ISSUER}/tenant`],
    ['a list that holds it', [ISSUER]],
    ['an object', { issuer: ISSUER }],
    ['null', null],
    ['none', undefined],
  ])('refuses metadata whose issuer is %s', async (_, issuer) => {
    const jwksUri = 'https://keys.example.com/jwks';
    const outcome = await discover(answersJson({ issuer, jwks_uri: jwksUri }));
    expect(outcome).toContain('refused: ');
    expect(outcome).toContain('another issuer than authority.issuer');
  });

  test.each(['null', '1', '"text"', '[]', '{}', '', '{"issuer":', '<html></html>', '\u0000'])(
    'refuses the document %p',
    async (text) => {
      expect(await discover(answersText(text))).toMatch(
        /^refused: .*(?:with JSON|with a JSON object|another issuer)/,
      );
    },
  );

  test('the text of a lying Authority is cut short in the message', async () => {
    const outcome = await discover(answersJson({ issuer: 'x'.repeat(100_000) }));
    expect(outcome.length).toBeLessThan(500);
    const lines = await discover(answersJson({ issuer: 'a\nb\u001b[31m' }));
    expect(lines).not.toContain('\n');
    expect(lines).not.toContain('\u001b');
  });
});

describe('OpenID Connect Discovery, then RFC 8414', () => {
  test.each([
    ['https://as.example', '/.well-known/openid-configuration', '/.well-known/oauth-authorization-server'],
    ['https://as.example/', '/.well-known/openid-configuration', '/.well-known/oauth-authorization-server'],
    [
      'https://as.example/realms/main',
      '/realms/main/.well-known/openid-configuration',
      '/.well-known/oauth-authorization-server/realms/main',
    ],
    [
      'https://as.example/realms/main/',
      '/realms/main/.well-known/openid-configuration',
      '/.well-known/oauth-authorization-server/realms/main',
    ],
  ])('looks for the metadata of %s at both places', (issuer, appended, inserted) => {
    expect(metadataUrlsOf(issuer)).toEqual([
      `https://as.example${appended}`,
      `https://as.example${inserted}`,
    ]);
  });

  const urlsOf = (origin: string) => [`${origin}/nothing-here`, `${origin}${METADATA_PATH}`];

  test('asks the second where the first answers 404', async () => {
    await using authority = await startFaultyAuthority([]);
    const metadata = await fetchMetadata(urlsOf(authority.origin), ISSUER, system);
    expect(metadata.jwks_uri).toBe(`${authority.origin}${KEY_SET_PATH}`);
    expect(authority.requests).toEqual(['/nothing-here', METADATA_PATH]);
  });

  test('does not ask the second where the first fails in another way', async () => {
    await using authority = await startFaultyAuthority([]);
    authority.behave({ metadata: answersStatus(503) });
    const outcome = fetchMetadata(urlsOf(authority.origin).reverse(), ISSUER, system).catch(messageOf);
    expect(await outcome).toMatch(/^refused: .*openid-configuration answered 503\.$/);
    expect(authority.requests).toEqual([METADATA_PATH]);
  });

  test('names both where neither knows it', async () => {
    await using authority = await startFaultyAuthority([]);
    authority.behave({ metadata: answersStatus(404) });
    const outcome = await fetchMetadata(urlsOf(authority.origin), ISSUER, system).catch(messageOf);
    expect(outcome).toMatch(/nothing-here answered 404\. .*openid-configuration answered 404\.$/);
  });

  test('asks for JSON, and for the media type of key sets, which some servers insist on', async () => {
    const accepted: (string | null)[] = [];
    const answer = ({ headers }: Heard) => {
      accepted.push(headers.get('accept'));
      return new Response('\ufeff{"issuer":"https://authority.example.com","jwks_uri":"https://a.example/"}');
    };
    await using server = startFakeServer(answer);
    await fetchMetadata([`${server.url}${METADATA_PATH}`], ISSUER, system);
    await fetchKeySet(`${server.url}${KEY_SET_PATH}`, system);
    expect(accepted.map((header) => header?.split(/[,;] ?/)[0])).toEqual([
      'application/json',
      'application/jwk-set+json',
    ]);
  });
});

describe("Authority's keys rule 1: jwks_uri is https, or on loopback", () => {
  test.each([
    'https://keys.example.com/jwks',
    'https://127.0.0.1/jwks',
    'http://127.0.0.1:8080/jwks',
    'http://127.9.9.9/jwks',
    'http://[::1]:8080/jwks',
    'http://localhost/jwks',
  ])('takes %s', async (jwksUri) => {
    expect(await jwksUriOf(jwksUri)).toBe(jwksUri);
  });

  test.each([
    'http://keys.example.com/jwks',
    'http://10.0.0.1/jwks',
    'http://169.254.169.254/latest/meta-data',
    'http://[::ffff:10.0.0.1]/jwks',
    'http://[fd00::1]/jwks',
    'http://0.0.0.0/jwks',
    'http://127.0.0.1.example.com/jwks',
    'http://localhost.example.com/jwks',
    'http://127.0.0.1@example.com/jwks',
    'http://example.com#@127.0.0.1/',
    'ftp://127.0.0.1/jwks',
    'file:///etc/passwd',
    'data:application/json,{"keys":[]}',
    'blob:https://keys.example.com/1',
    'javascript:1',
    '/jwks',
    'jwks',
    '',
    null,
    1,
    { href: 'https://keys.example.com/jwks' },
    undefined,
  ])('refuses %j', async (jwksUri) => {
    expect(await jwksUriOf(jwksUri)).toContain('neither https nor on loopback');
  });
});

describe("Authority's keys rule 1: no redirect to another origin", () => {
  test('follows one inside the origin', async () => {
    await using authority = await startFaultyAuthority([]);
    authority.behave({ metadata: redirectsTo(KEY_SET_PATH), keySet: answersText('there') });
    expect(await fetchText(authority.metadataUrl, system)).toBe('there');
    expect(authority.requests).toEqual([METADATA_PATH, KEY_SET_PATH]);
  });

  test.each([301, 302, 303, 307, 308])(
    'asks nobody else where it is sent to another port by %d',
    async (status) => {
      await using other = await startFaultyAuthority([]);
      await using authority = await startFaultyAuthority([]);
      authority.behave({ metadata: redirectsTo(other.metadataUrl, status) });
      const outcome = await fetchText(authority.metadataUrl, system).catch(messageOf);
      expect(outcome).toContain('redirects to another origin');
      expect(other.requests).toEqual([]);
    },
  );

  test.each([
    'https://127.0.0.1:1/jwks',
    '//example.com/jwks',
    'http://localhost/jwks',
    'file:///etc/passwd',
    'data:,x',
    'http://[',
  ])('refuses to be sent to %s', async (target) => {
    expect(await discover(redirectsTo(target))).toContain('redirects to another origin');
  });

  test('refuses to be sent on twice, and in a circle', async () => {
    expect(await discover(redirectsTo(METADATA_PATH))).toContain('more than once');
  });

  test('a redirect without a target is an error', async () => {
    expect(await discover(answersStatus(302))).toMatch(/^refused: .* answered 302\.$/);
  });
});

describe("Authority's keys rule 1: size and time limits", () => {
  test.each([204, 304, 400, 401, 404, 429, 500, 503])('refuses an answer of status %d', async (status) => {
    expect(await discover(answersStatus(status))).toMatch(new RegExp(`^refused: .* answered ${status}\\.$`));
  });

  test('takes a document of a mebibyte, and no byte more', async () => {
    const limit = 1024 * 1024;
    await using authority = await startFaultyAuthority([]);
    authority.behave({ keySet: answersText('x'.repeat(limit)) });
    const url = `${authority.origin}${KEY_SET_PATH}`;
    expect(await fetchText(url, system)).toHaveLength(limit);
    authority.behave({ keySet: answersText('x'.repeat(limit + 1)) });
    expect(await fetchText(url, system).catch(messageOf)).toContain(`more than ${limit} bytes`);
  });

  test('hangs up on a body of 100 MB after the first of it', async () => {
    await using authority = await startFaultyAuthority([]);
    authority.behave({ metadata: floods });
    const outcome = await fetchText(authority.metadataUrl, system).catch(messageOf);
    expect(outcome).toContain('more than 1048576 bytes');
    await Bun.sleep(100);
    const written = authority.bytesWritten();
    expect(written).toBeLessThan(50 * 1024 * 1024);
    await Bun.sleep(100);
    expect(authority.bytesWritten()).toBe(written);
  });

  test('does not unpack a compressed body of 100 MB', async () => {
    const bomb = createCompressedBomb();
    const before = process.memoryUsage.rss();
    expect(await discover(bomb)).toContain('more than 1048576 bytes');
    expect(process.memoryUsage.rss() - before).toBeLessThan(50 * 1024 * 1024);
  });

  test.each([
    ['hangs up', hangsUp],
    ['breaks off in the middle', cutsOff],
  ])('refuses an Authority that %s', async (_, behaviour) => {
    expect(await discover(behaviour)).toMatch(/^refused: .* did not answer/);
  });

  test('refuses an Authority that is not there', async () => {
    const authority = await startFaultyAuthority([]);
    await authority[Symbol.asyncDispose]();
    const outcome = await jwksUriFrom(authority.metadataUrl).catch(messageOf);
    expect(outcome).toMatch(
      /^refused: .* did not answer: connection refused: nothing listens there \(ECONNREFUSED\)\.$/,
    );
  });

  test('gives up after 5 seconds: silence, half an answer, one byte at a time, and a slow redirect', async () => {
    const started = performance.now();
    const outcomes = await Promise.all([
      discover(staysSilent),
      discover(stopsMidway),
      discover(trickles(50)),
      discover(slowRedirect()),
    ]);
    for (const outcome of outcomes) expect(outcome).toMatch(/^refused: .*no answer within 5 s\.$/);
    const seconds = (performance.now() - started) / 1000;
    expect(seconds).toBeGreaterThan(4.9);
    expect(seconds).toBeLessThan(6.5);
  }, 15_000);
});

describeWith(['openssl'], "Authority's keys rule 1: https by authority.caPath", () => {
  const answer = () => Response.json({ issuer: ISSUER, jwks_uri: 'https://keys.example.com/jwks' });

  test('believes a certificate of the configured authority for its own name alone', async () => {
    await using folder = await createTemporaryFolder();
    const own = await selfSigned(folder, 'own', 'IP:127.0.0.1');
    const other = await selfSigned(folder, 'other', 'IP:127.0.0.1');
    const wrongName = await selfSigned(folder, 'wrong-name', 'DNS:authority.example.com');
    await using server = startFakeServer(answer, own);
    await using misnamed = startFakeServer(answer, wrongName);
    const ask = (url: string, certificateAuthorities: string | null) =>
      jwksUriFrom(`${url}${METADATA_PATH}`, certificateAuthorities).catch(messageOf);
    expect(await ask(server.url, own.cert)).toBe('https://keys.example.com/jwks');
    expect(await ask(server.url, `${other.cert}${own.cert}`)).toBe('https://keys.example.com/jwks');
    for (const refused of [
      await ask(server.url, null),
      await ask(server.url, other.cert),
      await ask(misnamed.url, wrongName.cert),
    ])
      expect(refused).toMatch(
        /^refused: .* did not answer: its certificate .*\([A-Z_]*(?:CERT|ALTNAME)[A-Z_]*\); .*\.$/,
      );
    expect(misnamed.heard).toEqual([]);
  });
});

async function selfSigned(folder: TemporaryFolder, name: string, subjectAltName: string) {
  const [key, cert] = [folder.at(`${name}.key`), folder.at(`${name}.crt`)];
  const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=${subjectAltName}`, '-days', '2'];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  await runOrFail(['openssl', 'req', '-x509', ...kind, ...subject, '-keyout', key, '-out', cert]);
  return { key: await Bun.file(key).text(), cert: await Bun.file(cert).text() };
}

/** Answers the first request late by a redirect to itself, and the second not at all. */
function slowRedirect(): Behaviour {
  const redirect = answersAfter(3000, redirectsTo(METADATA_PATH));
  let asked = 0;
  return (response, authority) => {
    asked += 1;
    (asked === 1 ? redirect : staysSilent)(response, authority);
  };
}
