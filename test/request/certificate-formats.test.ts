/** The formats in which proxies forward a client certificate, and the headers that imply one. */
import { describe, expect, test } from 'bun:test';
import type { CertificateFormat } from '../../src/request/forwarded.ts';
import { ask, expectRefusal, expectToken } from '../support/ask.ts';
import {
  askFrom,
  certificate,
  derSequenceOf,
  forwarded,
  good,
  other,
  pem,
  toPem,
} from '../support/forwarded-certificate.ts';
import { createHarness, type Harness } from '../support/service.ts';

const PROXY = '10.1.2.3';
const STRANGER = '192.0.2.7';
const escaped = encodeURIComponent(pem);
/** As AWS does it: `+`, `=` and `/` stay. */
const escapedByAws = escaped.replaceAll('%2B', '+').replaceAll('%2F', '/').replaceAll('%3D', '=');
const spaced = pem.trimEnd().replaceAll('\n', ' ');
const bare = certificate;
const bareEscaped = encodeURIComponent(certificate);
const hash = 'a'.repeat(64);
const element = (cert: string) => `By=spiffe://a/b;Hash=${hash};Cert="${cert}";Subject="CN=x, O=\\"y\\""`;
const envoy = (cert: string) => `${element(cert)};URI=`;
const otherEscaped = encodeURIComponent(toPem(other));

async function harnessFor(name: string, format?: CertificateFormat): Promise<Harness> {
  return createHarness({ forwarded: forwarded(name, format) });
}

describe('a header that is known by its name implies its format', () => {
  test.each([
    ['Client-Cert', good['Client-Cert']],
    ['ssl-client-cert', escaped],
    ['X-SSL-Client-Cert', escaped],
    ['X-SSL-Client-Cert', spaced],
    ['X-Amzn-Mtls-Clientcert', escapedByAws],
    ['X-Amzn-Mtls-Clientcert-Leaf', escapedByAws],
    ['X-Forwarded-Tls-Client-Cert', bareEscaped],
    ['X-Forwarded-Tls-Client-Cert', bare],
    ['Cf-Client-Cert-Der-Base64', bare],
    ['x-forwarded-client-cert', envoy(escaped)],
    ['X-Forwarded-Client-Cert', envoy(escaped)],
  ])('%s', async (name, value) => {
    const harness = await harnessFor(name);
    expectToken(await askFrom(harness, PROXY, { [name]: value }));
    expectRefusal(await askFrom(harness, STRANGER, { [name]: value }), 'certificate-untrusted');
    const connection = { address: PROXY, certificate: null };
    for (const none of ['', '::', '(null)']) {
      expectRefusal(await askFrom(harness, PROXY, { [name]: none }), 'certificate-missing');
      expectToken(await ask(harness, { headers: { [name]: none }, connection }));
    }
    for (const broken of [value.slice(0, value.length / 2), `${value}, ${value}`, '-', 'x'.repeat(65_536)]) {
      expectRefusal(await askFrom(harness, PROXY, { [name]: broken }), 'certificate-untrusted');
    }
  });
});

describe('any header counts by the format that is configured', () => {
  test.each<[CertificateFormat, string]>([
    ['rfc9440', good['Client-Cert']],
    ['pem-escaped', escaped],
    ['pem-escaped', spaced],
    ['pem-escaped', pem.trimEnd().replaceAll('\n', '%20')],
    ['der-base64', bare],
    ['der-base64', bareEscaped],
    ['xfcc', envoy(escaped)],
  ])('%s', async (format, value) => {
    const harness = await harnessFor('X-Our-Cert', format);
    expectToken(await askFrom(harness, PROXY, { 'x-our-cert': value }));
    const stranger = await askFrom(harness, STRANGER, { 'x-our-cert': value });
    expectRefusal(stranger, 'certificate-untrusted');
  });

  test('and no other', async () => {
    const values = {
      rfc9440: good['Client-Cert'],
      'pem-escaped': escaped,
      'der-base64': bare,
      xfcc: envoy(escaped),
    };
    for (const format of Object.keys(values) as CertificateFormat[]) {
      const harness = await harnessFor('X-Our-Cert', format);
      for (const [given, value] of Object.entries(values)) {
        if (given === format) continue;
        const answer = await askFrom(harness, PROXY, { 'X-Our-Cert': value });
        expectRefusal(answer, 'certificate-untrusted');
      }
    }
  });
});

describe('the certificate in an x-forwarded-client-cert', () => {
  const ofOther = element(otherEscaped);

  test.each([
    ['the only element', envoy(escaped)],
    [
      'the last of several, the others being what clients or earlier proxies wrote',
      `${ofOther},${envoy(escaped)}`,
    ],
    ['the last after a comma with a space', `${ofOther}, ${envoy(escaped)}`],
    ['before names of a URI and of DNS', `${element(escaped)};URI=spiffe://a/b;DNS=a.example.com`],
    ['the last beside one of a hash alone', `Hash=${hash},Cert="${escaped}"`],
    ['without quotes', `Hash=${hash};Cert=${escaped}`],
    ['of any letter case of its key', `hash=${hash};cert="${escaped}"`],
    ['beside a Chain', `Cert="${escaped}";Chain="${escaped}${otherEscaped}"`],
    [
      'beside a subject with commas, quotes and a Cert inside',
      `Subject="O=\\"a, b\\";Cert=${otherEscaped}";Cert="${escaped}"`,
    ],
  ])('is %s', async (_, value) => {
    const harness = await harnessFor('x-forwarded-client-cert');
    expectToken(await askFrom(harness, PROXY, { 'x-forwarded-client-cert': value }));
  });

  test.each([
    ['a last element without Cert', `${envoy(escaped)},By=spiffe://a/b;Hash=${hash}`],
    ['an empty Cert', 'Cert=""'],
    ['a Cert without a value', `Hash=${hash};Cert=`],
    ['two Certs in one element', `Cert="${escaped}";Cert="${escaped}"`],
    ['two certificates in one Cert', `Cert="${escaped}${escaped}"`],
    ['a Chain alone', `Chain="${escaped}"`],
    ['a quote that is left open', `Subject="CN=x;Cert=${escaped}`],
    ['a quote left open by the element before', `Subject="CN=x,Cert="${escaped}"`],
    ['something after a quoted value', `Cert="${escaped}"x`],
    ['a key without a value', `Hash;Cert="${escaped}"`],
    ['text that is no list', escaped],
    // Envoy writes these names as the certificate has them, which the client may have made itself.
    ['a Cert inside a URI of the certificate', `${ofOther};URI=spiffe://a/b,Cert="${escaped}"`],
    ['a Cert at the beginning of a URI', `${ofOther};URI=,Hash=${hash};Cert="${escaped}"`],
    ['a Cert after a URI that brings its own quotes', `${ofOther};URI="a",Cert="${escaped}"`],
    ['a Cert inside a DNS name', `${ofOther};URI=;DNS=a,cert=${escaped}`],
    ['a Cert inside a URI, and none of the proxy', `Hash=${hash};URI=a;Cert="${escaped}"`],
    ['half a certificate', envoy(escaped.slice(0, 600))],
    ['bare base64', `Cert="${encodeURIComponent(certificate)}"`],
  ])('is refused with %s', async (_, value) => {
    const harness = await harnessFor('x-forwarded-client-cert');
    const answer = await askFrom(harness, PROXY, { 'x-forwarded-client-cert': value });
    expectRefusal(answer, 'certificate-untrusted');
  });

  test('of another client is no better', async () => {
    const harness = await harnessFor('x-forwarded-client-cert');
    const answer = await askFrom(harness, PROXY, {
      'x-forwarded-client-cert': `${element(escaped)},${ofOther}`,
    });
    expectRefusal(answer, 'certificate-binding');
  });

  test('is ignored where another header is configured: meshes add it to every request', async () => {
    const harness = await harnessFor('Client-Cert');
    const headers = { 'x-forwarded-client-cert': envoy(otherEscaped) };
    for (const address of [PROXY, STRANGER])
      expectToken(await ask(harness, { headers, connection: { address, certificate: null } }));
    expectRefusal(await askFrom(harness, PROXY, headers), 'certificate-missing');
    expectToken(await askFrom(harness, PROXY, { ...headers, 'Client-Cert': good['Client-Cert'] }));
  });

  test('of a length that no header has is refused without much work', async () => {
    const harness = await harnessFor('x-forwarded-client-cert');
    for (const text of [
      `Cert="${'\\"'.repeat(2_000_000)}`,
      'a=;'.repeat(1_000_000),
      envoy(escaped).repeat(40),
    ]) {
      const answer = await askFrom(harness, PROXY, { 'x-forwarded-client-cert': text });
      expectRefusal(answer, 'certificate-untrusted');
    }
  });
});

describe('the other known headers are refused, rather than ignored', () => {
  test.each([
    'ssl-client-cert',
    'X-Amzn-Mtls-Clientcert',
    'X-Amzn-Mtls-Clientcert-Leaf',
    'X-Forwarded-Tls-Client-Cert',
    'Cf-Client-Cert-Der-Base64',
    'X-SSL-Client-Cert',
  ])('%s beside a Client-Cert', async (name) => {
    const harness = await harnessFor('Client-Cert');
    const headers = { 'Client-Cert': good['Client-Cert'], [name]: escaped };
    expectRefusal(await askFrom(harness, PROXY, headers), 'certificate-untrusted');
    expectRefusal(await askFrom(harness, STRANGER, { [name]: escaped }), 'certificate-untrusted');
    expectToken(await askFrom(harness, PROXY, { ...headers, [name]: '' }));
  });
});

test('a bare base64 value of two certificates, one after another, is refused', async () => {
  const harness = await harnessFor('Cf-Client-Cert-Der-Base64');
  const two = Buffer.concat([Buffer.from(certificate, 'base64'), other]).toString('base64');
  for (const value of [two, `${certificate}${certificate}`, `${certificate},${certificate}`])
    expectRefusal(
      await askFrom(harness, PROXY, { 'Cf-Client-Cert-Der-Base64': value }),
      'certificate-untrusted',
    );
  const long = derSequenceOf(Buffer.alloc(12_000)).toString('base64');
  const answer = await askFrom(harness, PROXY, { 'Cf-Client-Cert-Der-Base64': long });
  expectRefusal(answer, 'certificate-binding');
  expect(answer.decision.refusal?.detail).not.toContain('AAAA');
});
