/** containerd, which asks by POST: an OpTok as the password, and the client certificate of its hosts.toml. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { type Containerd, type ContainerdVersion, startContainerd } from '../support/containerd.ts';
import { describeWith } from '../support/debian-parts.ts';
import { createImageClient, type ImageClient, imageId } from '../support/image-clients.ts';
import { type Front, fronts } from '../support/mtls-fronts.ts';
import { createMtlsParties, type MtlsParties, obtainBoundOpTok } from '../support/mtls-parties.ts';
import type { TlsIdentity } from '../support/tls-identities.ts';

setDefaultTimeout(60_000);

for (const [name, startFront] of Object.entries(fronts))
  describeWith(['docker-registry', 'nginx', 'openssl', 'skopeo'], `before ${name}`, () => {
    let parties: MtlsParties;
    let front: Front;
    let skopeo: ImageClient;
    let image: string;
    let source: string;
    let opTok: string;

    beforeAll(async () => {
      parties = await createMtlsParties();
      front = await startFront(parties);
      opTok = await obtainBoundOpTok(parties, parties.alice);
      skopeo = createImageClient('skopeo', parties.folder);
      image = await parties.newImage();
      source = `${front.registryHost}/team-a/app:1`;
      const pushed = await skopeo.push(image, source, await accessOfAlice());
      if (pushed.exitCode !== 0) throw new Error(`The push failed: ${pushed.stderr}\n${front.logs()}`);
    });

    afterAll(async () => {
      await front?.[Symbol.asyncDispose]();
      await parties?.[Symbol.asyncDispose]();
    });

    const accessOfAlice = async () => ({
      credentials: `any:${opTok}`,
      certificateFolder: await parties.certificateFolder(parties.alice),
    });

    const startFor = async (identity: TlsIdentity, version: ContainerdVersion): Promise<Containerd> => {
      const certificateFolder = await parties.certificateFolder(identity);
      return startContainerd({ registryHost: front.registryHost, certificateFolder }, version);
    };

    for (const [daemon, client] of [
      ['containerd', 'ctr'],
      ['containerd-2', 'ctr-2'],
    ] as const)
      describeWith([daemon, client], daemon, () => {
        test('fetches an image, and pushes it to another repository', async () => {
          await using containerd = await startFor(parties.alice, daemon);
          const fetched = await containerd.fetch(source, `any:${opTok}`);
          expect(fetched).toMatchObject({ exitCode: 0 });
          expect(await containerd.has(`sha256:${await imageId(image)}`)).toBe(true);
          const target = `${front.registryHost}/team-b/${daemon}:1`;
          expect(await containerd.push(target, source, `any:${opTok}`)).toMatchObject({ exitCode: 0 });
          const pulled = await skopeo.pull(target, await accessOfAlice());
          expect(pulled).toMatchObject({ exitCode: 0, id: await imageId(image) });
        });

        test('fetches nothing with a stolen OpTok, and is told 401', async () => {
          await using containerd = await startFor(parties.bob, daemon);
          const before = (await front.serviceLog()).length;
          const fetched = await containerd.fetch(source, `any:${opTok}`);
          expect(fetched.exitCode).toBe(1);
          expect(fetched.stderr).toContain('401 Unauthorized');
          expect((await front.serviceLog()).slice(before)).toContain('"reason":"certificate-binding"');
          expect(await containerd.has(`sha256:${await imageId(image)}`)).toBe(false);
        });
      });
  });
