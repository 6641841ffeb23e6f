/** The client certificate that a proxy forwards: who is believed, and what one certificate is. */
import { describe, expect, test } from 'bun:test';
import { ask, expectRefusal, expectToken, parseChallenges, send } from '../support/ask.ts';
import {
  askFrom,
  certificate,
  der,
  derSequenceOf,
  forwarded,
  good,
  other,
  pem,
  thumbprint,
  toPem,
} from '../support/forwarded-certificate.ts';
import { createHarness } from '../support/service.ts';
import { REALM, SERVICE, sha256 } from '../support/tokens.ts';

const PROXY = '10.1.2.3';
const STRANGER = '192.0.2.7';
const rfc9440 = await createHarness({ forwarded: forwarded('Client-Cert') });
const nginx = await createHarness({ forwarded: forwarded('X-SSL-Client-Cert') });

describe('x5t#S256 is the SHA-256 of the DER as received', () => {
  test('accepts the certificate of RFC 9440 by its Client-Cert field', async () => {
    expect(sha256(der)).toBe(thumbprint);
    expectToken(await askFrom(rfc9440, PROXY, { 'Client-Cert': good['Client-Cert'] }));
  });

  test('accepts the same certificate as nginx escapes it, whatever the line ends and the letter case', async () => {
    const [begin, end] = ['-----BEGIN%20CERTIFICATE-----%0A', '%0A-----END%20CERTIFICATE-----%0A'];
    const lowerCase = certificate.replace(/[/+=]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`);
    const values = [
      good['X-SSL-Client-Cert'],
      encodeURIComponent(pem.replaceAll('\n', '\r\n')),
      encodeURIComponent(pem.trimEnd()),
      `${begin}${encodeURIComponent(certificate)}${end}`,
      `${begin}${lowerCase}${end}`,
    ];
    for (const value of values) expectToken(await askFrom(nginx, PROXY, { 'X-SSL-Client-Cert': value }));
  });

  test('refuses another certificate than the OpTok is bound to', async () => {
    const byField = await askFrom(rfc9440, PROXY, { 'Client-Cert': `:${other.toString('base64')}:` });
    expectRefusal(byField, 'certificate-binding');
    const byPem = await askFrom(nginx, PROXY, { 'X-SSL-Client-Cert': encodeURIComponent(toPem(other)) });
    expectRefusal(byPem, 'certificate-binding');
  });

  test('refuses a certificate with one byte changed', async () => {
    for (const at of [4, 100, der.length - 1]) {
      const changed = Buffer.from(der);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      const answer = await askFrom(rfc9440, PROXY, { 'Client-Cert': `:${changed.toString('base64')}:` });
      expectRefusal(answer, 'certificate-binding');
    }
  });

  test('refuses an OpTok bound to the hash of the PEM, of the base64 or of the hex digits', async () => {
    for (const text of [pem, certificate, der.toString('hex')]) {
      const opTok = rfc9440.opTok({ claims: { cnf: { 'x5t#S256': sha256(text) } } });
      const answer = await ask(rfc9440, {
        opTok,
        scheme: 'Bearer',
        proof: null,
        headers: { 'Client-Cert': good['Client-Cert'] },
        connection: { address: PROXY, certificate: null },
      });
      expectRefusal(answer, 'certificate-binding');
    }
  });
});

describe('a header is believed from server.trustedProxies alone', () => {
  test.each([
    ['Client-Cert', rfc9440],
    ['Client-Cert-Chain', rfc9440],
    ['X-SSL-Client-Cert', nginx],
    ['X-SSL-Client-Cert', rfc9440],
    ['Client-Cert', nginx],
  ] as const)('refuses a forged %s of a stranger, rather than ignoring it', async (name, harness) => {
    const value = name === 'X-SSL-Client-Cert' ? good[name] : good['Client-Cert'];
    expectRefusal(await askFrom(harness, STRANGER, { [name]: value }), 'certificate-untrusted');
  });

  test('refuses the header of a stranger whatever else the request brings', async () => {
    const headers = { 'Client-Cert': good['Client-Cert'] };
    expectRefusal(await ask(rfc9440, { headers }), 'certificate-untrusted');
    expectRefusal(await ask(rfc9440, { headers, scheme: 'none', proof: null }), 'certificate-untrusted');
    const connection = { address: STRANGER, certificate: { der, trusted: true } };
    expectRefusal(await ask(rfc9440, { headers, connection }), 'certificate-untrusted');
  });

  test('refuses the header where no proxy is trusted, from loopback too', async () => {
    const none = await createHarness();
    for (const address of ['127.0.0.1', '::1', '::ffff:127.0.0.1', PROXY])
      expectRefusal(
        await askFrom(none, address, { 'Client-Cert': good['Client-Cert'] }),
        'certificate-untrusted',
      );
  });

  test('an X-Forwarded-For does not make its sender a proxy', async () => {
    for (const forged of [PROXY, `${STRANGER}, ${PROXY}`, '::ffff:10.1.2.3']) {
      const headers = {
        'Client-Cert': good['Client-Cert'],
        'X-Forwarded-For': forged,
        Forwarded: `for=${forged}`,
      };
      expectRefusal(await askFrom(rfc9440, STRANGER, headers), 'certificate-untrusted');
    }
  });

  test.each(['unknown', '', 'localhost', '10.1.2.3:80', '[::1]', '010.1.2.3', '10.1.2.3%eth0'])(
    'does not take %p for the address of a proxy',
    async (address) => {
      const answer = await askFrom(rfc9440, address, { 'Client-Cert': good['Client-Cert'] });
      expectRefusal(answer, 'certificate-untrusted');
    },
  );

  test.each(['::ffff:10.1.2.3', '::FFFF:10.1.2.3', '::ffff:a01:203', '0:0:0:0:0:ffff:10.1.2.3', 'fd00::7'])(
    'knows a trusted proxy by its IPv6 address %s',
    async (address) => {
      expectToken(await askFrom(rfc9440, address, { 'Client-Cert': good['Client-Cert'] }));
    },
  );

  test.each(['::ffff:192.0.2.7', '::10.1.2.3', '64:ff9b::10.1.2.3', 'fc00::7', '11.1.2.3', '2002:a01:203::'])(
    'does not know %s for a trusted proxy',
    async (address) => {
      const answer = await askFrom(rfc9440, address, { 'Client-Cert': good['Client-Cert'] });
      expectRefusal(answer, 'certificate-untrusted');
    },
  );

  test("does not take a trusted proxy's own TLS certificate for its client's", async () => {
    const opTok = rfc9440.opTok({ claims: { cnf: { 'x5t#S256': thumbprint } } });
    const connection = { address: PROXY, certificate: { der, trusted: true } };
    const without = await ask(rfc9440, { opTok, scheme: 'Bearer', proof: null, connection });
    expectRefusal(without, 'certificate-missing');
    const headers = { 'Client-Cert': `:${other.toString('base64')}:` };
    const beside = await ask(rfc9440, { opTok, scheme: 'Bearer', proof: null, connection, headers });
    expectRefusal(beside, 'certificate-binding');
  });

  test.each(['', '::', '(null)'])('the value "%s" says that there is no certificate', async (value) => {
    for (const [harness, name] of [
      [rfc9440, 'Client-Cert'],
      [nginx, 'X-SSL-Client-Cert'],
    ] as const) {
      for (const address of [PROXY, STRANGER])
        expectRefusal(await askFrom(harness, address, { [name]: value }), 'certificate-missing');
      const proxy = { address: PROXY, certificate: null };
      expectToken(await ask(harness, { headers: { [name]: value }, connection: proxy }));
    }
  });

  test('a certificate that nothing is bound to changes nothing', async () => {
    const headers = { 'Client-Cert': good['Client-Cert'] };
    expectToken(await ask(rfc9440, { headers, connection: { address: PROXY, certificate: null } }));
  });

  test('the answer says no more than that the access token is not valid', async () => {
    const answer = await askFrom(rfc9440, STRANGER, { 'Client-Cert': good['Client-Cert'] });
    expect(answer.body.error).toBe('invalid_token');
    expect(answer.text).not.toContain('trustedProxies');
    expect(parseChallenges(answer.headers).map(({ scheme }) => scheme)).toEqual(['DPoP', 'Bearer', 'Basic']);
  });
});

describe('one value and no list, in the form of the configured header', () => {
  const base64url = certificate.replaceAll('+', '-').replaceAll('/', '_');
  const cut = (bytes: number) => der.subarray(0, bytes).toString('base64');
  test.each([
    ['repeated, as it arrives: joined by a comma', `:${certificate}:, :${certificate}:`],
    ['a list without a space', `:${certificate}:,:${certificate}:`],
    ['a trailing comma', `:${certificate}:,`],
    ['a leading comma', `, :${certificate}:`],
    ['no colons', certificate],
    ['one colon', `:${certificate}`],
    ['a parameter', `:${certificate}:;a=1`],
    ['an inner list', `(:${certificate}:)`],
    ['quotes', `"${certificate}"`],
    ['base64url', `:${base64url}:`],
    ['base64url without padding', `:${base64url.replace(/=+$/, '')}:`],
    ['no padding', `:${certificate.replace(/=+$/, '')}:`],
    ['too much padding', `:${certificate}====:`],
    ['padding inside', `:AAAA====${certificate}:`],
    ['a space inside', `:${certificate.slice(0, 64)} ${certificate.slice(64)}:`],
    ['a colon inside', `:${certificate.slice(0, 64)}:${certificate.slice(64)}:`],
    ['PEM', good['X-SSL-Client-Cert']],
    ['PEM in base64', `:${Buffer.from(pem).toString('base64')}:`],
    ['hex', `:${der.toString('hex')}:`],
    ['percent-encoding', encodeURIComponent(`:${certificate}:`)],
    ['a certificate cut off at its end', `:${cut(der.length - 1)}:`],
    ['a certificate cut off at half', `:${cut(der.length / 2)}:`],
    ['a certificate cut off after its tag', `:${cut(1)}:`],
    ['a certificate cut off in its length', `:${cut(3)}:`],
    ['something after the certificate', `:${Buffer.concat([der, Buffer.of(0)]).toString('base64')}:`],
    ['two certificates in one', `:${Buffer.concat([der, der]).toString('base64')}:`],
    ['no DER', `:${Buffer.from('not a certificate').toString('base64')}:`],
    ['a DER set', `:${Buffer.concat([Buffer.of(0x31), der.subarray(1)]).toString('base64')}:`],
    ['an indefinite length', `:${Buffer.from('30800000', 'hex').toString('base64')}:`],
    ['a length of four bytes', `:${Buffer.from('3084000000020500', 'hex').toString('base64')}:`],
  ])('refuses a Client-Cert with %s', async (_, value) => {
    expectRefusal(await askFrom(rfc9440, PROXY, { 'Client-Cert': value }), 'certificate-untrusted');
  });

  test('refuses a repeated field', async () => {
    for (const [harness, name] of [
      [rfc9440, 'Client-Cert'],
      [nginx, 'X-SSL-Client-Cert'],
    ] as const) {
      const opTok = harness.opTok({ claims: { cnf: { 'x5t#S256': thumbprint } } });
      const headers = new Headers({ Authorization: `Bearer ${opTok}` });
      headers.append(name, good[name]);
      headers.append(name, good[name]);
      const request = new Request(`${REALM}?service=${SERVICE}`, { headers });
      const connection = { address: PROXY, certificate: null };
      expectRefusal(await send(harness, request, undefined, connection), 'certificate-untrusted');
    }
  });

  test('reads the field whatever the letter case of its name', async () => {
    for (const name of ['client-cert', 'CLIENT-CERT', 'Client-cert'])
      expectToken(await askFrom(rfc9440, PROXY, { [name]: good['Client-Cert'] }));
  });

  test.each([
    ['two certificates', `${pem}${pem}`],
    ['a second certificate of another kind', `${pem}${toPem(other)}`],
    ['text before it', `subject=CN = BC\n${pem}`],
    ['text after it', `${pem}and more`],
    ['a header inside', pem.replace('-----\n', '-----\nProc-Type: 4\n\n')],
    ['a private key beside it', `${pem}-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n`],
    ['another label', pem.replaceAll('CERTIFICATE', 'TRUSTED CERTIFICATE')],
    ['labels that differ', pem.replace('END CERTIFICATE', 'END X509 CERTIFICATE')],
    ['no end', pem.replace(/-----END.*/s, '')],
    ['no content', '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n'],
    ['base64url', pem.replaceAll('+', '-').replaceAll('/', '_')],
    ['no padding', pem.replace('=\n', '\n')],
    ['a tab', pem.replace('\nMII', '\n\tMII')],
    ['a null character', pem.replace('\nMII', '\n\0MII')],
    ['a certificate cut off', toPem(der.subarray(0, 300))],
    ['something after the certificate', toPem(Buffer.concat([der, Buffer.of(0)]))],
    ['two certificates in one', toPem(Buffer.concat([der, der]))],
  ])('refuses an escaped PEM with %s', async (_, text) => {
    const answer = await askFrom(nginx, PROXY, { 'X-SSL-Client-Cert': encodeURIComponent(text) });
    expectRefusal(answer, 'certificate-untrusted');
  });

  test.each([
    ['escaped twice', encodeURIComponent(good['X-SSL-Client-Cert'])],
    ['not escaped, folded by tabs as $ssl_client_cert is', pem.trimEnd().replaceAll('\n', '\t')],
    ['with a percent sign alone', `${good['X-SSL-Client-Cert']}%`],
    ['with a broken escape', good['X-SSL-Client-Cert'].replace('%20', '%2')],
    ['with an escape that is no UTF-8', `${good['X-SSL-Client-Cert']}%FF`],
    ['with plus signs for spaces', good['X-SSL-Client-Cert'].replaceAll('%20', '+')],
    ['as a byte sequence', good['Client-Cert']],
    ['a dash', '-'],
  ])('refuses an escaped PEM %s', async (_, value) => {
    expectRefusal(await askFrom(nginx, PROXY, { 'X-SSL-Client-Cert': value }), 'certificate-untrusted');
  });

  test('refuses a certificate of megabytes without much work', async () => {
    const long = derSequenceOf(Buffer.alloc(12_000)).toString('base64');
    expectRefusal(await askFrom(rfc9440, PROXY, { 'Client-Cert': `:${long}:` }), 'certificate-binding');
    const longer = derSequenceOf(Buffer.alloc(49_000)).toString('base64');
    expectRefusal(await askFrom(rfc9440, PROXY, { 'Client-Cert': `:${longer}:` }), 'certificate-untrusted');
    const started = performance.now();
    for (const text of ['A'.repeat(4_000_000), ':'.repeat(4_000_000), '%41'.repeat(1_000_000)]) {
      expectRefusal(await askFrom(rfc9440, PROXY, { 'Client-Cert': `:${text}:` }), 'certificate-untrusted');
      expectRefusal(await askFrom(nginx, PROXY, { 'X-SSL-Client-Cert': text }), 'certificate-untrusted');
    }
    expect(performance.now() - started).toBeLessThan(2000);
  });

  test('refuses the header of the other kind, alone and beside its own', async () => {
    const nginxHeader = { 'X-SSL-Client-Cert': good['X-SSL-Client-Cert'] };
    const rfcHeader = { 'Client-Cert': good['Client-Cert'] };
    expectRefusal(await askFrom(rfc9440, PROXY, nginxHeader), 'certificate-untrusted');
    expectRefusal(await askFrom(rfc9440, PROXY, good), 'certificate-untrusted');
    expectRefusal(await askFrom(nginx, PROXY, rfcHeader), 'certificate-untrusted');
    expectRefusal(await askFrom(nginx, PROXY, good), 'certificate-untrusted');
  });

  test('refuses Client-Cert-Chain without Client-Cert, and takes nothing from it beside one', async () => {
    const chain = { 'Client-Cert-Chain': `:${certificate}:` };
    expectRefusal(await askFrom(rfc9440, PROXY, chain), 'certificate-untrusted');
    expectRefusal(await askFrom(rfc9440, PROXY, { ...chain, 'Client-Cert': '' }), 'certificate-untrusted');
    const othersChain = { 'Client-Cert-Chain': `:${other.toString('base64')}:` };
    expectToken(await askFrom(rfc9440, PROXY, { ...othersChain, 'Client-Cert': good['Client-Cert'] }));
    const otherLeaf = { ...chain, 'Client-Cert': `:${other.toString('base64')}:` };
    expectRefusal(await askFrom(rfc9440, PROXY, otherLeaf), 'certificate-binding');
  });

  test("refuses Client-Cert-Chain beside nginx's header, where no Client-Cert can be", async () => {
    const headers = {
      'Client-Cert-Chain': good['Client-Cert'],
      'X-SSL-Client-Cert': good['X-SSL-Client-Cert'],
    };
    expectRefusal(await askFrom(nginx, PROXY, headers), 'certificate-untrusted');
  });
});
