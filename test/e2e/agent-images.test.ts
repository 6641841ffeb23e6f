/** Stock clients through the agent: they have no credentials, and the Authority binds OpToks by DPoP alone. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import {
  type AgentSetting,
  peakMemory,
  startAgentSetting,
  writeLargeImage,
} from '../support/agent-setting.ts';
import { describeWith } from '../support/debian-parts.ts';
import { blobPath, writeImage } from '../support/images.ts';
import { type Finished, run } from '../support/processes.ts';

setDefaultTimeout(600_000);

/** 2048 was measured by hand; the bound is the same. */
const LAYER_MIB = Number(process.env.AGENT_LAYER_MIB ?? 256);
const MEMORY_BOUND_MIB = 150;

function copy(...words: readonly string[]): Promise<Finished> {
  const insecure = ['--src-tls-verify=false', '--dest-tls-verify=false'];
  return run(['skopeo', 'copy', '--insecure-policy', ...insecure, ...words], { timeoutMs: 500_000 });
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return `sha256:${hash.digest('hex')}`;
}

describeWith(['docker-registry', 'skopeo', 'openssl', 'curl'], 'through the agent', () => {
  let setting: AgentSetting;

  beforeAll(async () => {
    setting = await startAgentSetting();
  });

  afterAll(async () => {
    await setting?.[Symbol.asyncDispose]();
  });

  test('skopeo pushes and pulls without credentials', async () => {
    const { folder, host } = setting;
    const image = await writeImage(folder.at('small'));
    expect(await copy(image.source, `docker://${host}/team-a/small:1`)).toMatchObject({ exitCode: 0 });
    const pulled = folder.at('small-pulled');
    expect(await copy(`docker://${host}/team-a/small:1`, `oci:${pulled}:latest`)).toMatchObject({
      exitCode: 0,
    });
    expect(await sha256(blobPath(pulled, image.layer.digest))).toBe(image.layer.digest);
  });

  test('credentials that a client brings along play no part', async () => {
    const { host } = setting;
    const inspect = ['inspect', '--tls-verify=false', '--creds', 'nobody:wrong'];
    expect(await run(['skopeo', ...inspect, `docker://${host}/team-a/small:1`])).toMatchObject({
      exitCode: 0,
    });
  });

  test('what the plan does not allow is told in the words of the service', async () => {
    const { folder, host } = setting;
    const refused = await copy(`docker://${host}/elsewhere/app:1`, `oci:${folder.at('refused')}:latest`);
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toContain('insufficient_scope');
  });

  test('a large layer goes both ways in bounded memory', async () => {
    const { folder, host, agent } = setting;
    const image = await writeLargeImage(folder.at('large'), LAYER_MIB);
    expect(await copy(image.source, `docker://${host}/team-a/large:1`)).toMatchObject({ exitCode: 0 });
    const afterPush = peakMemory(agent);
    const pulled = folder.at('large-pulled');
    expect(await copy(`docker://${host}/team-a/large:1`, `oci:${pulled}:latest`)).toMatchObject({
      exitCode: 0,
    });
    expect(await sha256(blobPath(pulled, image.layer.digest))).toBe(image.layer.digest);
    const afterPull = peakMemory(agent);
    if (LAYER_MIB !== 256)
      process.stderr.write(`${LAYER_MIB} MiB: ${afterPush} MiB after push, ${afterPull} MiB after pull\n`);
    expect(afterPush).toBeLessThan(MEMORY_BOUND_MIB);
    expect(afterPull).toBeLessThan(MEMORY_BOUND_MIB);
    await rm(folder.at('large'), { recursive: true });

    // The same layer once more, by a client that is cut off and resumes, as an interrupted pull does.
    const file = folder.at('resumed');
    const blob = `${setting.url}/v2/team-a/large/blobs/${image.layer.digest}`;
    const half = LAYER_MIB * 512 * 1024;
    const cut = await run(['bash', '-c', `curl -sf ${blob} | head -c ${half} > ${file}`]);
    expect(cut.exitCode).toBe(0);
    expect(await run(['curl', '-sf', '-C', '-', '-o', file, blob], { timeoutMs: 300_000 })).toMatchObject({
      exitCode: 0,
    });
    expect(await sha256(file)).toBe(image.layer.digest);
  });

  test('one token serves many requests, and the Authority is asked once', () => {
    expect(setting.authority.requestsTo('/token')).toBe(1);
  });

  test('neither its log nor that of the registry has a token, and nothing is left under way', async () => {
    const { agent } = setting;
    agent.signal('SIGINT');
    expect(await agent.exited).toBe(0);
    const output = `${agent.stdout()}${agent.stderr()}`;
    expect(output).not.toMatch(/eyJ[\w-]+\.[\w-]+/);
    expect(output).toContain('"underWay":0');
    expect(output).toContain('"message":"stopped"');
  });
});
