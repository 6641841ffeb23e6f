/** RFC 9864: Ed25519 is the name of what RFC 8037 called EdDSA. Clients send either, whichever the list has. */
import { afterAll, expect, test } from 'bun:test';
import { createKey } from '../support/keys.ts';
import { noCertificate } from '../support/service.ts';
import { SERVICE } from '../support/tokens.ts';
import { createInstallation } from './installation.ts';

const site = await createInstallation();
afterAll(() => site[Symbol.asyncDispose]());
const key = await createKey('EdDSA');

async function statusOf(listed: string, sent: string): Promise<number> {
  site.configure({ senderConstraint: { dpop: { algorithms: [listed] } } });
  const runtime = await site.open();
  const opTok = site.opTok({ claims: { cnf: { jkt: key.thumbprint } } });
  const proof = site.proof(opTok, { key, header: { alg: sent, jwk: key.publicJwk } });
  const headers = { Authorization: `DPoP ${opTok}`, DPoP: proof };
  const url = `http://127.0.0.1:8085/token?service=${SERVICE}`;
  return (await runtime.handle(new Request(url, { headers }), noCertificate)).status;
}

test.each([
  ['EdDSA', 'EdDSA'],
  ['EdDSA', 'Ed25519'],
  ['Ed25519', 'EdDSA'],
  ['Ed25519', 'Ed25519'],
])('where %s is listed, a proof that says %s is accepted', async (listed, sent) => {
  expect(await statusOf(listed, sent)).toBe(200);
});

test('where neither is listed, both are refused', async () => {
  expect(await statusOf('ES256', 'EdDSA')).toBe(401);
  expect(await statusOf('ES256', 'Ed25519')).toBe(401);
});
