/** The distribution protocol through the agent, request by request, with the real registry behind it. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { createHash, randomBytes } from 'node:crypto';
import { type AgentSetting, startAgentSetting } from '../support/agent-setting.ts';
import { describeWith } from '../support/debian-parts.ts';

setDefaultTimeout(60_000);

const MANIFEST_TYPE = 'application/vnd.docker.distribution.manifest.v2+json';

function digestOf(content: Uint8Array): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

/** The members that these tests read. */
function readJson(
  answer: Response,
): Promise<{ repositories: string[]; tags: string[]; errors: [{ code: string }] }> {
  return answer.json() as ReturnType<typeof readJson>;
}

describeWith(['docker-registry', 'openssl'], 'through the agent', () => {
  let setting: AgentSetting;
  const content = randomBytes(3 * 1024 * 1024);
  const digest = digestOf(content);

  beforeAll(async () => {
    setting = await startAgentSetting();
    await upload('team-a/app', content);
  });

  afterAll(async () => {
    await setting?.[Symbol.asyncDispose]();
  });

  const ask = (path: string, init: RequestInit = {}) =>
    fetch(`${setting.url}${path}`, { redirect: 'manual', ...init });

  /** Where an answer leads, which must be the agent. */
  function locationOf(answer: Response): string {
    const location = answer.headers.get('location') ?? '';
    expect(location).toStartWith(`${setting.url}/v2/`);
    return location;
  }

  async function upload(repository: string, blob: Uint8Array<ArrayBuffer>): Promise<void> {
    const started = await ask(`/v2/${repository}/blobs/uploads/`, { method: 'POST' });
    expect(started.status).toBe(202);
    const end = new URL(locationOf(started));
    end.searchParams.set('digest', digestOf(blob));
    const put = await fetch(end, { method: 'PUT', body: blob });
    expect(put.status).toBe(201);
    locationOf(put);
  }

  async function putManifest(repository: string, tag: string): Promise<void> {
    const config = {
      mediaType: 'application/vnd.docker.container.image.v1+json',
      size: content.length,
      digest,
    };
    const body = JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST_TYPE, config, layers: [] });
    const headers = { 'Content-Type': MANIFEST_TYPE };
    const put = await ask(`/v2/${repository}/manifests/${tag}`, { method: 'PUT', headers, body });
    expect(put.status).toBe(201);
    expect(put.headers.get('docker-content-digest')).toBe(digestOf(Buffer.from(body)));
  }

  test('an upload that broke off is asked how far it came, and goes on in chunks from there', async () => {
    const blob = randomBytes(1_500_000);
    const started = await ask('/v2/team-a/chunked/blobs/uploads/', { method: 'POST' });
    const patch = (location: string, from: number, to: number) =>
      fetch(location, {
        method: 'PATCH',
        headers: {
          'Content-Type': 'application/octet-stream',
          'Content-Range': `${from}-${to - 1}`,
          'Content-Length': String(to - from),
        },
        body: blob.subarray(from, to),
      });
    const first = await patch(locationOf(started), 0, 700_000);
    expect([first.status, first.headers.get('range')]).toEqual([202, '0-699999']);
    const asked = await fetch(locationOf(first));
    expect([asked.status, asked.headers.get('range')]).toEqual([204, '0-699999']);
    const second = await patch(locationOf(asked), 700_000, blob.length);
    expect([second.status, second.headers.get('range')]).toEqual([202, '0-1499999']);
    const end = new URL(locationOf(second));
    end.searchParams.set('digest', digestOf(blob));
    expect((await fetch(end, { method: 'PUT' })).status).toBe(201);
    const read = await ask(`/v2/team-a/chunked/blobs/${digestOf(blob)}`);
    expect(digestOf(await read.bytes())).toBe(digestOf(blob));
  });

  test('HEAD has length and digest, and no body', async () => {
    const answer = await ask(`/v2/team-a/app/blobs/${digest}`, { method: 'HEAD' });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-length')).toBe(String(content.length));
    expect(answer.headers.get('docker-content-digest')).toBe(digest);
  });

  test('a range is answered with that range', async () => {
    const answer = await ask(`/v2/team-a/app/blobs/${digest}`, { headers: { Range: 'bytes=1000-1999' } });
    expect(answer.status).toBe(206);
    expect(answer.headers.get('content-range')).toBe(`bytes 1000-1999/${content.length}`);
    expect(Buffer.from(await answer.bytes()).equals(content.subarray(1000, 2000))).toBe(true);
  });

  test('a blob is mounted from a repository that the plan lets be pulled', async () => {
    const answer = await ask(`/v2/team-b/app/blobs/uploads/?mount=${digest}&from=team-a/app`, {
      method: 'POST',
    });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('docker-content-digest')).toBe(digest);
    locationOf(answer);
  });

  test('where the plan does not, a mount is the start of an upload', async () => {
    const mount = `/v2/team-b/app/blobs/uploads/?mount=${digest}&from=elsewhere/app`;
    for (const _ of [1, 2]) {
      const answer = await ask(mount, { method: 'POST' });
      expect(answer.status).toBe(202);
      expect(locationOf(answer)).toContain('/v2/team-b/app/blobs/uploads/');
    }
    const refused = await ask(mount.replace('team-b', 'nobody'), { method: 'POST' });
    expect(refused.status).toBe(403);
  });

  test('lists go on at the agent', async () => {
    await upload('team-a/tagged', content);
    for (const tag of ['one', 'three', 'two']) await putManifest('team-a/tagged', tag);
    const names: string[] = [];
    let next: string | undefined = `${setting.url}/v2/_catalog?n=2`;
    while (next !== undefined) {
      const answer: Response = await fetch(next);
      names.push(...(await readJson(answer)).repositories);
      const link: string | undefined = /^<([^>]*)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1];
      if (link !== undefined) expect(link).toStartWith(`${setting.url}/v2/_catalog?`);
      next = link;
    }
    expect(names).toEqual(
      expect.arrayContaining(['team-a/app', 'team-a/chunked', 'team-a/tagged', 'team-b/app']),
    );
    const tags = await readJson(await ask('/v2/team-a/tagged/tags/list'));
    expect(tags.tags.sort()).toEqual(['one', 'three', 'two']);
  });

  test('what the plan refuses is 403 in the format of registries, and no challenge', async () => {
    const answer = await ask('/v2/elsewhere/app/manifests/1');
    expect(answer.status).toBe(403);
    expect(answer.headers.has('www-authenticate')).toBe(false);
    expect(await answer.json()).toEqual({
      errors: [{ code: 'DENIED', message: expect.stringContaining('elsewhere/app') }],
    });
  });

  test('what the registry itself says comes through', async () => {
    const answer = await ask('/v2/team-a/app/manifests/none');
    expect(answer.status).toBe(404);
    expect((await readJson(answer)).errors[0].code).toBe('MANIFEST_UNKNOWN');
  });
});
