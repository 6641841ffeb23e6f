/**
 * The whole way with certificates: an OpTok that a real Authority bound to a client's certificate, brought by stock
 * clients as a password. They have nothing else than their certificate folder.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { describeWith } from '../support/debian-parts.ts';
import {
  createImageClient,
  type ImageClient,
  imageClientNames,
  imageId,
  type RegistryAccess,
} from '../support/image-clients.ts';
import { type Front, fronts } from '../support/mtls-fronts.ts';
import { createMtlsParties, type MtlsParties, obtainBoundOpTok } from '../support/mtls-parties.ts';
import type { TlsIdentity } from '../support/tls-identities.ts';

setDefaultTimeout(60_000);

const UNAUTHORIZED = /unauthorized|invalid username\/password|authentication required/i;

for (const [name, startFront] of Object.entries(fronts))
  describeWith(['docker-registry', 'nginx', 'openssl'], `registry and realm behind ${name}`, () => {
    let parties: MtlsParties;
    let front: Front;
    let aliceOpTok: string;
    let bobOpTok: string;

    beforeAll(async () => {
      parties = await createMtlsParties();
      front = await startFront(parties);
      aliceOpTok = await obtainBoundOpTok(parties, parties.alice);
      bobOpTok = await obtainBoundOpTok(parties, parties.bob);
    });

    afterAll(async () => {
      await front?.[Symbol.asyncDispose]();
      await parties?.[Symbol.asyncDispose]();
    });

    const access = async (opTok: string, identity: TlsIdentity | null): Promise<RegistryAccess> => ({
      credentials: `any:${opTok}`,
      certificateFolder: await parties.certificateFolder(identity),
    });

    for (const clientName of imageClientNames)
      describeWith([clientName], clientName, () => {
        let client: ImageClient;
        let repository: string;
        let image: string;

        beforeAll(async () => {
          client = createImageClient(clientName, parties.folder);
          repository = `${front.registryHost}/team-a/${clientName}`;
          image = await parties.newImage();
          const pushed = await client.push(image, `${repository}:1`, await access(aliceOpTok, parties.alice));
          if (pushed.exitCode !== 0) throw new Error(`The push failed: ${pushed.stderr}\n${front.logs()}`);
        });

        test('pulls what it pushed, by an OpTok as the password and the certificate of its folder', async () => {
          const pulled = await client.pull(`${repository}:1`, await access(aliceOpTok, parties.alice));
          expect(pulled).toMatchObject({ exitCode: 0, id: await imageId(image) });
        });

        test('neither pulls nor pushes with a stolen OpTok and its own certificate', async () => {
          const before = (await front.serviceLog()).length;
          const stolen = await access(aliceOpTok, parties.bob);
          const pulled = await client.pull(`${repository}:1`, stolen);
          expect(pulled).toMatchObject({ id: null, stderr: expect.stringMatching(UNAUTHORIZED) });
          const pushed = await client.push(image, `${repository}:2`, stolen);
          expect(pushed.exitCode).not.toBe(0);
          expect(pushed.stderr).toMatch(UNAUTHORIZED);
          expectRefusals((await front.serviceLog()).slice(before), 'certificate-binding');
        });

        test('neither pulls nor pushes with a stolen OpTok and no certificate', async () => {
          const before = (await front.serviceLog()).length;
          const stolen = await access(aliceOpTok, null);
          const pulled = await client.pull(`${repository}:1`, stolen);
          expect(pulled).toMatchObject({ id: null, stderr: expect.stringMatching(UNAUTHORIZED) });
          const pushed = await client.push(image, `${repository}:2`, stolen);
          expect(pushed.exitCode).not.toBe(0);
          expect(pushed.stderr).toMatch(UNAUTHORIZED);
          expectRefusals((await front.serviceLog()).slice(before), 'certificate-missing');
        });

        test('gets from its own OpTok and certificate no more than its plan allows', async () => {
          const before = (await front.serviceLog()).length;
          const pulled = await client.pull(`${repository}:1`, await access(bobOpTok, parties.bob));
          expect(pulled.id).toBeNull();
          expectRefusals((await front.serviceLog()).slice(before), 'plan-denied');
        });
      });

    test('no log has an OpTok in it', () => {
      const logs = front.logs();
      expect(logs).toContain('"message":"issued"');
      for (const opTok of [aliceOpTok, bobOpTok])
        for (const secret of [
          opTok,
          opTok.split('.')[2] ?? '',
          Buffer.from(`any:${opTok}`).toString('base64'),
        ])
          expect(logs.includes(secret)).toBe(false);
    });
  });

/** Of these lines of the log every decision is a refusal for this reason, and there is one at least. */
function expectRefusals(log: string, reason: string): void {
  const reasons = [...log.matchAll(/"reason":(?:"([^"]*)"|null)/g)].map(([, found]) => found);
  expect(new Set(reasons)).toEqual(new Set([reason]));
}
