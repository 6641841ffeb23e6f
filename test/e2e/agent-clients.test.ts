/** Every client that is at hand, unmodified and without credentials, through the agent of a DPoP-only Authority. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { readFile } from 'node:fs/promises';
import { type AgentSetting, startAgentSetting } from '../support/agent-setting.ts';
import { startContainerd } from '../support/containerd.ts';
import { describeWith } from '../support/debian-parts.ts';
import { createGoClient, type GoClientName, goClientNames } from '../support/go-clients.ts';
import { createHelm } from '../support/helm.ts';
import {
  createImageClient,
  type ImageClient,
  type ImageClientName,
  imageClientNames,
  imageId,
} from '../support/image-clients.ts';
import { writeImage } from '../support/images.ts';
import { createTemporaryFolder, run, runOrFail, type TemporaryFolder } from '../support/processes.ts';

setDefaultTimeout(60_000);

function openClient(name: ImageClientName | GoClientName, folder: TemporaryFolder): ImageClient {
  switch (name) {
    case 'crane':
    case 'oras':
    case 'regctl':
      return createGoClient(name, folder);
    default:
      return createImageClient(name, folder);
  }
}

describeWith(['docker-registry', 'openssl'], 'through the agent', () => {
  let setting: AgentSetting;

  beforeAll(async () => {
    setting = await startAgentSetting();
  });

  afterAll(async () => {
    await setting?.[Symbol.asyncDispose]();
  });

  /** A new image; its folder. */
  const newImage = async (name: string) => {
    const folder = setting.folder.at(`image-${name}`);
    await writeImage(folder);
    return folder;
  };

  for (const name of [...imageClientNames, ...goClientNames])
    describeWith([name], name, () => {
      test('pushes and pulls, and is refused what the plan does not allow', async () => {
        await using folder = await createTemporaryFolder();
        const client = openClient(name, folder);
        const image = await newImage(name);
        const target = `${setting.host}/team-a/${name}:1`;
        expect(await client.push(image, target, 'plain-http')).toMatchObject({ exitCode: 0 });
        expect(await client.pull(target, 'plain-http')).toMatchObject({ id: await imageId(image) });
        const refused = await client.pull(target.replace('team-a', 'elsewhere'), 'plain-http');
        expect(refused).toMatchObject({ id: null, stderr: expect.stringMatching(/denied|403/i) });
      });
    });

  describeWith(['containerd', 'ctr', 'skopeo'], 'containerd', () => {
    test('fetches an image, and pushes it to another repository', async () => {
      const skopeo = createImageClient('skopeo', setting.folder);
      const image = await newImage('ctr');
      const source = `${setting.host}/team-a/ctr:1`;
      expect(await skopeo.push(image, source, 'plain-http')).toMatchObject({ exitCode: 0 });
      await using containerd = await startContainerd(null);
      // ctr 1.6 writes "context canceled" of its own progress display to standard error now and then.
      expect(await containerd.fetch(source, null)).toMatchObject({ exitCode: 0 });
      expect(await containerd.has(`sha256:${await imageId(image)}`)).toBe(true);
      const target = `${setting.host}/team-b/ctr:1`;
      expect(await containerd.push(target, source, null)).toMatchObject({ exitCode: 0 });
      expect(await skopeo.pull(target, 'plain-http')).toMatchObject({ id: await imageId(image) });
    });
  });

  describeWith(['helm'], 'helm', () => {
    test('pushes a chart and pulls it', async () => {
      await using folder = await createTemporaryFolder();
      const helm = createHelm(folder);
      const archive = await helm.makeChart('chart');
      const pushed = await helm.push(archive, `${setting.host}/team-a`, 'plain-http');
      expect(pushed).toMatchObject({ exitCode: 0 });
      const pulled = await helm.pull(`${setting.host}/team-a/chart`, 'plain-http');
      expect(pulled).toMatchObject({ exitCode: 0, archive: await readFile(archive) });
    });
  });

  describeWith(['docker', 'skopeo'], 'the docker CLI', () => {
    test('shows a manifest, for which it needs no daemon', async () => {
      const image = await newImage('docker');
      const target = `${setting.host}/team-a/docker:1`;
      // Of 20.10, that command knows Docker's own kind of manifest only.
      const options = ['--insecure-policy', '--dest-tls-verify=false', '--format', 'v2s2'];
      await runOrFail(['skopeo', 'copy', ...options, `oci:${image}:latest`, `docker://${target}`]);
      const inspected = await run(['docker', 'manifest', 'inspect', '--insecure', target]);
      expect(inspected).toMatchObject({ exitCode: 0 });
      expect(JSON.parse(inspected.stdout).config.digest).toBe(`sha256:${await imageId(image)}`);
    });
  });
});
