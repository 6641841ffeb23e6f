/** A pull-through cache of a protected registry: registry 3.1 whose `proxy.remoteurl` is the agent. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { writeFile } from 'node:fs/promises';
import { startAgentSetting } from '../support/agent-setting.ts';
import { describeWith } from '../support/debian-parts.ts';
import { createImageClient, imageId } from '../support/image-clients.ts';
import { writeImage } from '../support/images.ts';
import { createTemporaryFolder, findFreePort, start } from '../support/processes.ts';
import { REGISTRY_ENVIRONMENT } from '../support/registry.ts';
import { readSample } from '../support/samples.ts';

setDefaultTimeout(60_000);

describeWith(['docker-registry', 'registry-3.1', 'openssl', 'skopeo'], 'a pull-through cache', () => {
  test('pulls through the agent what the plan of the agent allows, and serves it again when the source is gone', async () => {
    await using setting = await startAgentSetting();
    await using cache = await startCache(setting.url);
    const skopeo = createImageClient('skopeo', setting.folder);
    await writeImage(setting.folder.at('image'));
    const name = (host: string, repository: string) => `${host}/${repository}/app:1`;
    const pushed = await skopeo.push(setting.folder.at('image'), name(setting.host, 'team-a'), 'plain-http');
    expect(pushed).toMatchObject({ exitCode: 0 });
    const cached = name(cache.host, 'team-a');
    const id = await imageId(setting.folder.at('image'));
    expect(await skopeo.pull(cached, 'plain-http')).toMatchObject({ id });
    const denied = await skopeo.pull(name(cache.host, 'elsewhere'), 'plain-http');
    expect(denied.id).toBeNull();
    const push = await skopeo.push(setting.folder.at('image'), cached, 'plain-http');
    expect(push.exitCode).not.toBe(0);
    await setting.agent.stop();
    expect(await skopeo.pull(cached, 'plain-http')).toMatchObject({ id });
  });
});

async function startCache(remoteUrl: string): Promise<{ readonly host: string } & AsyncDisposable> {
  const folder = await createTemporaryFolder();
  const port = await findFreePort();
  const sample = await readSample('registry/config-cache.yml', [
    ['addr: 127.0.0.1:5000', `addr: 127.0.0.1:${port}`],
    ['http://127.0.0.1:5001', remoteUrl],
    ['/var/lib/registry', folder.at('images')],
  ]);
  // The cache of the sample asks for tokens itself; here it is seen alone.
  await writeFile(folder.at('config.yml'), sample.slice(0, sample.indexOf('\nauth:')));
  const child = start(['registry-3.1', 'serve', folder.at('config.yml')], { env: REGISTRY_ENVIRONMENT });
  await child.waitForLine(/listening on /);
  const dispose = async () => {
    await child.stop();
    await folder[Symbol.asyncDispose]();
  };
  return { host: `127.0.0.1:${port}`, [Symbol.asyncDispose]: dispose };
}
