/** `registry-token token` with a certificate: at the Authority, at the realm, and what the registry makes of it. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { decodeJwt } from 'jose';
import { curl } from '../support/curl.ts';
import { describeWith } from '../support/debian-parts.ts';
import { type Front, fronts } from '../support/mtls-fronts.ts';
import { createMtlsParties, type MtlsParties } from '../support/mtls-parties.ts';
import { type Finished, run } from '../support/processes.ts';
import { REGISTRY_SERVICE, serviceCommand, TOKEN_ISSUER } from '../support/running-service.ts';
import { createSelfSigned, type TlsIdentity } from '../support/tls-identities.ts';

setDefaultTimeout(60_000);

const SCOPE = 'repository:team-a/app:pull,push';

for (const [name, startFront] of Object.entries(fronts))
  describeWith(
    ['curl', 'docker-registry', 'nginx', 'openssl'],
    `\`token\` with a certificate, ${name}`,
    () => {
      let parties: MtlsParties;
      let front: Front;

      beforeAll(async () => {
        parties = await createMtlsParties();
        front = await startFront(parties);
      });

      afterAll(async () => {
        await front?.[Symbol.asyncDispose]();
        await parties?.[Symbol.asyncDispose]();
      });

      const token = (
        identity: TlsIdentity,
        clientId: string,
        ...more: readonly string[]
      ): Promise<Finished> =>
        run([
          ...[...serviceCommand, 'token', '--authority', parties.authority.issuer, '--client-id', clientId],
          ...['--cert', identity.certificatePath, '--key', identity.keyPath],
          ...['--ca', parties.certificateAuthority.certificatePath],
          ...['--realm', front.realm, '--service', REGISTRY_SERVICE, ...more],
        ]);

      test('prints a token that the registry takes', async () => {
        const { exitCode, stdout, stderr } = await token(parties.alice, 'alice', '--scope', SCOPE);
        expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
        expect(decodeJwt(stdout.trim())).toMatchObject({
          iss: TOKEN_ISSUER,
          sub: 'alice',
          aud: REGISTRY_SERVICE,
          access: [{ type: 'repository', name: 'team-a/app', actions: ['pull', 'push'] }],
        });
        const side = { caPath: parties.certificateAuthority.certificatePath, identity: null };
        const upload = `https://${front.registryHost}/v2/team-a/app/blobs/uploads/`;
        const words = ['-X', 'POST', '-H', `Authorization: Bearer ${stdout.trim()}`];
        expect((await curl(side, ...words, upload)).status).toBe(202);
        expect((await curl(side, ...words, upload.replace('team-a', 'team-b'))).status).toBe(401);
      });

      test("gets nothing for another client's certificate, and learns so from the Authority", async () => {
        const stranger = await createSelfSigned(parties.folder, 'stranger');
        for (const identity of [parties.bob, stranger]) {
          const { exitCode, stdout, stderr } = await token(identity, 'alice', '--scope', SCOPE);
          expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
          expect(stderr).toContain('invalid_client');
        }
      });

      test('tells what the plan does not allow', async () => {
        const { exitCode, stdout, stderr } = await token(parties.bob, 'bob', '--scope', SCOPE);
        expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
        expect(stderr).toContain('The plan community does not allow repository:team-a/app:');
      });
    },
  );
