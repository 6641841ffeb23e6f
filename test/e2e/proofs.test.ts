/** What a stolen or used credential is worth, over real HTTP. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { type Authority, startAuthority } from '../support/authority.ts';
import { createDpopClient, type DpopClient, getByProtectedRequest } from '../support/authority-client.ts';
import { writeCertificate } from '../support/certificates.ts';
import { describeWith } from '../support/debian-parts.ts';
import { createTemporaryFolder, type TemporaryFolder } from '../support/processes.ts';
import { type RunningService, startService } from '../support/running-service.ts';
import { requestToken, tokenUrl } from '../support/token-request.ts';

setDefaultTimeout(30_000);

const SCOPES = ['repository:team-a/app:pull'];

describeWith(['openssl'], 'the token endpoint of the compiled service', () => {
  let folder: TemporaryFolder;
  let authority: Authority;
  let service: RunningService;
  let client: DpopClient;

  beforeAll(async () => {
    folder = await createTemporaryFolder();
    const { keyPath } = await writeCertificate(folder, 'registry-signing');
    authority = await startAuthority({ clients: [{ id: 'builder', plan: 'enterprise' }] });
    service = await startService({ authorityIssuer: authority.issuer, signing: { keyPath } });
    client = await createDpopClient(authority, 'builder');
  });

  afterAll(async () => {
    await service?.[Symbol.asyncDispose]();
    await authority?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  test('issues nothing for a proof that was used before', async () => {
    const proof = await client.proof(service.realm);
    const first = await requestToken(service.realm, client, SCOPES, proof);
    expect(first.status).toBe(200);
    const second = await requestToken(service.realm, client, SCOPES, proof);
    expect(second.status).toBe(401);
    expect(await second.json()).toMatchObject({ error: 'invalid_dpop_proof' });
    await service.child.waitForLine(/"reason":"proof-replayed"/);
  });

  test('issues exactly one token for 100 copies of one proof at the same time', async () => {
    const proof = await client.proof(service.realm);
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => requestToken(service.realm, client, SCOPES, proof)),
    );
    const bodies = (await Promise.all(answers.map((answer) => answer.json()))) as Record<string, unknown>[];
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(99);
    expect(bodies.filter((body) => body.token !== undefined)).toHaveLength(1);
    expect(bodies.filter((body) => body.error === 'invalid_dpop_proof')).toHaveLength(99);
  });

  test('issues a token to a client that knows only RFC 9449', async () => {
    const answer = await getByProtectedRequest(authority, client, tokenUrl(service.realm, SCOPES));
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ token: expect.any(String), expires_in: 300 });
  });

  test('issues nothing to a thief who has the OpTok and a key of their own', async () => {
    const thief = await createDpopClient(authority, 'builder');
    const proof = await thief.proof(service.realm, client.opTok);
    const answer = await requestToken(service.realm, client, SCOPES, proof);
    expect(answer.status).toBe(401);
    expect(await answer.json()).toMatchObject({ error: 'invalid_token' });
    await service.child.waitForLine(/"reason":"proof-binding"/);
    const noProof = await fetch(tokenUrl(service.realm, SCOPES), {
      headers: { Authorization: `Bearer ${client.opTok}` },
    });
    expect(noProof.status).toBe(401);
    expect(noProof.headers.get('www-authenticate')).toContain('DPoP');
  });

  test('asks the Authority for its keys once, however many OpToks name keys that it never had', async () => {
    const [, payload = '', signature = ''] = client.opTok.split('.');
    for (let count = 0; count < 20; count += 1) {
      const header = { alg: 'ES256', typ: 'at+jwt', kid: crypto.randomUUID() };
      const opTok = `${Buffer.from(JSON.stringify(header)).toString('base64url')}.${payload}.${signature}`;
      const proof = await client.proof(service.realm, opTok);
      const answer = await requestToken(service.realm, { ...client, opTok }, SCOPES, proof);
      expect(answer.status).toBe(401);
    }
    await service.child.waitForLine(/"reason":"token-key-unknown"/);
    expect(authority.requestsTo('/jwks')).toBe(1);
  });

  test('logs neither OpTok nor proof', async () => {
    const proof = await client.proof(service.realm);
    await requestToken(service.realm, client, SCOPES, proof);
    await requestToken(service.realm, client, SCOPES, proof);
    await Bun.sleep(50);
    const output = `${service.child.stdout()}${service.child.stderr()}`;
    const secrets = [client.opTok, proof].flatMap((jws) => jws.split('.'));
    expect(output).toContain('"subject":"builder"');
    expect(secrets.filter((secret) => output.includes(secret))).toEqual([]);
  });
});
