/** The binding of an OpTok to a TLS certificate (RFC 8705), as far as the connection says what the client showed. */
import { describe, expect, test } from 'bun:test';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Scheme } from '../../src/request/credentials.ts';
import { ask, expectRefusal, expectToken } from '../support/ask.ts';
import { writeCertificate } from '../support/certificates.ts';
import { createTemporaryFolder } from '../support/processes.ts';
import { createHarness, withCertificate } from '../support/service.ts';
import { sha256 } from '../support/tokens.ts';

const der = Buffer.from('30820122-not-parsed-only-hashed');
const harness = await createHarness();
const { thumbprint } = harness.clientKey;
const bound = harness.opTok({ claims: { cnf: { 'x5t#S256': sha256(der) } } });
const shown = withCertificate(der);

const ways: readonly (readonly [Scheme, 'GET' | 'POST'])[] = [
  ['Bearer', 'GET'],
  ['Bearer', 'POST'],
  ['Basic', 'GET'],
  ['Basic', 'POST'],
  ['form', 'POST'],
];

describe('x5t#S256 is the SHA-256 of the certificate as received', () => {
  test.each(ways)('accepts the certificate that the OpTok is bound to (%s, %s)', async (scheme, method) => {
    expectToken(await ask(harness, { opTok: bound, scheme, method, proof: null, connection: shown }));
  });

  test.each(ways)('refuses another certificate (%s, %s)', async (scheme, method) => {
    const connection = withCertificate(Buffer.concat([der, Buffer.from('0')]));
    const answer = await ask(harness, { opTok: bound, scheme, method, proof: null, connection });
    expectRefusal(answer, 'certificate-binding');
  });

  test('hashes the bytes, not their base64 or PEM', async () => {
    for (const text of [der.toString('base64'), der.toString('hex')]) {
      const connection = withCertificate(Buffer.from(text));
      const answer = await ask(harness, { opTok: bound, scheme: 'Bearer', proof: null, connection });
      expectRefusal(answer, 'certificate-binding');
    }
  });
});

describe('a missing or untrusted certificate is refused', () => {
  test.each(ways)(
    'refuses an OpTok bound to a certificate where none is shown (%s, %s)',
    async (scheme, method) => {
      expectRefusal(await ask(harness, { opTok: bound, scheme, method, proof: null }), 'certificate-missing');
    },
  );

  test('refuses the right certificate where it does not chain to the configured authority', async () => {
    const connection = withCertificate(der, false);
    const answer = await ask(harness, { opTok: bound, scheme: 'Bearer', proof: null, connection });
    expectRefusal(answer, 'certificate-untrusted');
  });

  test('a certificate is no credential and no proof', async () => {
    expectRefusal(
      await ask(harness, { scheme: 'none', proof: null, connection: shown }),
      'credentials-missing',
    );
    const unbound = harness.opTok({ claims: { cnf: undefined } });
    const unboundAnswer = await ask(harness, {
      opTok: unbound,
      scheme: 'Bearer',
      proof: null,
      connection: shown,
    });
    expectRefusal(unboundAnswer, 'token-unbound');
    expectRefusal(await ask(harness, { proof: null, connection: shown }), 'proof-missing');
  });

  test('a forged OpTok with the thumbprint of the shown certificate is refused', async () => {
    const cnf = { 'x5t#S256': sha256(der) };
    const forged = harness.opTok({ claims: { cnf }, key: harness.clientKey });
    const answer = await ask(harness, { opTok: forged, scheme: 'Bearer', proof: null, connection: shown });
    expectRefusal(answer, 'token-signature');
  });
});

describe('a cnf with jkt and x5t#S256 needs both', () => {
  const both = harness.opTok({ claims: { cnf: { jkt: thumbprint, 'x5t#S256': sha256(der) } } });

  test('accepts both', async () => {
    expectToken(await ask(harness, { opTok: both, connection: shown }));
  });

  test('refuses the proof alone', async () => {
    expectRefusal(await ask(harness, { opTok: both }), 'certificate-missing');
    const connection = withCertificate(Buffer.from('other'));
    expectRefusal(await ask(harness, { opTok: both, connection }), 'certificate-binding');
  });

  test('refuses the certificate alone', async () => {
    const answer = await ask(harness, { opTok: both, scheme: 'Bearer', proof: null, connection: shown });
    expectRefusal(answer, 'proof-missing');
  });

  test('refuses a proof beside an OpTok that is bound to the certificate alone', async () => {
    expectRefusal(await ask(harness, { opTok: bound, connection: shown }), 'proof-binding');
  });

  test('refuses a cnf with jkt where only the certificate matches its thumbprint', async () => {
    const swapped = harness.opTok({ claims: { cnf: { jkt: sha256(der) } } });
    expectRefusal(await ask(harness, { opTok: swapped, connection: shown }), 'proof-binding');
  });
});

describe('an RSA certificate has 2048 to 8192 bits, as the key of a proof', () => {
  test.each([
    ['rsa:1024', false],
    ['rsa:2047', false],
    ['rsa:2048', true],
    // BoringSSL does not read such a key, so its length is not known.
    ['rsa-pss:2048', false],
  ])('%s', async (key, isAccepted) => {
    await using folder = await createTemporaryFolder();
    const { certificatePath } = await writeCertificate(folder, 'client', { key });
    const { raw } = new X509Certificate(readFileSync(certificatePath));
    const opTok = harness.opTok({ claims: { cnf: { 'x5t#S256': sha256(raw) } } });
    const connection = withCertificate(raw);
    const answer = await ask(harness, { opTok, scheme: 'Bearer', proof: null, connection });
    if (isAccepted) expectToken(answer);
    else expectRefusal(answer, 'certificate-untrusted');
  });

  test('one that holds the identifier of an RSA key and cannot be read is refused, not a fault', async () => {
    const broken = Buffer.concat([Buffer.from('2a864886f70d010101', 'hex'), der]);
    const opTok = harness.opTok({ claims: { cnf: { 'x5t#S256': sha256(broken) } } });
    const connection = withCertificate(broken);
    const answer = await ask(harness, { opTok, scheme: 'Bearer', proof: null, connection });
    expectRefusal(answer, 'certificate-untrusted');
    expect(answer.decision.refusal?.detail).toBe('The key of the client certificate cannot be read.');
  });
});
