/** SENDER-CONSTRAINT, "The certificate", as far as the connection says what the client showed. */
import { describe, test } from 'bun:test';
import type { Scheme } from '../../src/request/credentials.ts';
import { ask, expectRefusal, expectToken } from '../support/ask.ts';
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

describe('certificate rule 1: x5t#S256 is the SHA-256 of the certificate as received', () => {
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

describe('certificate rule 2: a missing or untrusted certificate is refused', () => {
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
