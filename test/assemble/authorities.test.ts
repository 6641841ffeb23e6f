/** Several Authorities in a running service: `readyz`, metrics and log name each, and one that is away holds up nobody. */
import { afterAll, expect, test } from 'bun:test';
import { answersJson, startFaultyAuthority } from '../support/faulty-authority.ts';
import { noCertificate } from '../support/service.ts';
import { ISSUER, REALM, SERVICE } from '../support/tokens.ts';
import { createInstallation } from './installation.ts';

const site = await createInstallation();
afterAll(() => site[Symbol.asyncDispose]());

test('an Authority that is away is named by readyz, log and metrics, and the others answer', async () => {
  await using authority = await startFaultyAuthority([site.authorityKey]);
  const audiences = ['registry'];
  site.configure({
    authority: undefined,
    authorities: {
      corporate: { issuer: ISSUER, audiences, metadataUrl: authority.metadataUrl },
      cluster: { issuer: 'https://cluster.example', audiences, metadataUrl: 'http://127.0.0.1:1/metadata' },
    },
  });
  const runtime = await site.open();
  // Until clockSkew after the start, proofs need a nonce.
  site.clock.now += 30;
  await runtime.open();
  const get = async (path: string) => {
    const response = await runtime.handle(new Request(`http://localhost${path}`), noCertificate);
    return { status: response.status, text: await response.text() };
  };
  const ready = await get('/readyz');
  expect(ready.status).toBe(200);
  expect(ready.text).toStartWith(
    'ready\nexcept authority-keys: cluster: http://127.0.0.1:1/metadata did not answer',
  );
  expect(ready.text).not.toContain('corporate');

  const opTok = site.opTok();
  const headers = { Authorization: `DPoP ${opTok}`, DPoP: site.proof(opTok) };
  const asked = new Request(`${REALM}?service=${SERVICE}`, { headers });
  expect((await runtime.handle(asked, noCertificate)).status).toBe(200);
  expect(site.logLines.at(-1)).toMatchObject({
    message: 'issued',
    authority: 'corporate',
    clientId: 'alice-cli',
  });
  expect(site.logLines).toContainEqual(
    expect.objectContaining({ message: 'authority keys not fetched', authority: 'cluster' }),
  );

  const { text } = await get('/metrics');
  expect(text).toContain('registry_token_authority_refresh_total{authority="corporate",result="success"} 1');
  expect(text).toContain('registry_token_authority_refresh_total{authority="cluster",result="failure"} 1');
  expect(text).toMatch(/registry_token_authority_keys_age_seconds\{authority="corporate"\} /);
  expect(text).not.toContain('registry_token_authority_keys_age_seconds{authority="cluster"}');
  await runtime.close();
});

test('readyz is 503 where no Authority is there at all', async () => {
  const away = (issuer: string) => ({
    issuer,
    audiences: ['registry'],
    metadataUrl: 'http://127.0.0.1:1/metadata',
  });
  site.configure({
    authority: undefined,
    authorities: { corporate: away(ISSUER), cluster: away('https://cluster.example') },
  });
  const runtime = await site.open();
  await runtime.open();
  const response = await runtime.handle(new Request('http://localhost/readyz'), noCertificate);
  const text = await response.text();
  expect(response.status).toBe(503);
  expect(text).toContain('authority-keys: corporate: ');
  expect(text).toContain('authority-keys: cluster: ');
  await runtime.close();
});

test('private keys in a key set are told once, in the log, and their public parts are used', async () => {
  await using authority = await startFaultyAuthority([]);
  const { privateJwk, thumbprint } = site.authorityKey;
  authority.behave({ keySet: answersJson({ keys: [{ ...privateJwk, kid: thumbprint }] }) });
  site.configure({
    authority: undefined,
    authorities: { main: { issuer: ISSUER, audiences: ['registry'], metadataUrl: authority.metadataUrl } },
  });
  const runtime = await site.open();
  // Until clockSkew after the start, proofs need a nonce.
  site.clock.now += 30;
  await runtime.open();
  const opTok = site.opTok();
  const headers = { Authorization: `DPoP ${opTok}`, DPoP: site.proof(opTok) };
  const asked = new Request(`${REALM}?service=${SERVICE}`, { headers });
  expect((await runtime.handle(asked, noCertificate)).status).toBe(200);
  const warnings = site.logLines.filter(
    ({ message }) => message === 'authority keys are used with a warning',
  );
  expect(warnings).toMatchObject([
    { authority: 'main', warning: expect.stringContaining('private or secret keys') },
  ]);
  expect(JSON.stringify(site.logLines)).not.toContain(privateJwk.d ?? '-');
  await runtime.close();
});
