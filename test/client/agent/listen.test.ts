/** Where the agent listens, who may come there, and how it ends. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import type { Agent } from '../../../src/client/agent/agent.ts';
import { identityOf, listenForClients } from '../../../src/client/agent/listen.ts';
import { Transfers } from '../../../src/client/agent/transfers.ts';
import { startAgentParties } from '../../support/agent-parties.ts';
import { LOOPBACK_NAMES, writeCertificate } from '../../support/certificates.ts';
import { describeWith } from '../../support/debian-parts.ts';
import { createTemporaryFolder, findFreePort, isPortFree, run } from '../../support/processes.ts';

/** Takes so many milliseconds for the body of its answer. */
function slowRegistry(milliseconds: number) {
  return () => {
    let chunks = 0;
    const body = new ReadableStream({
      pull: async (controller) => {
        chunks += 1;
        if (chunks > 2) return controller.close();
        controller.enqueue(new Uint8Array(10));
        await Bun.sleep(milliseconds);
      },
    });
    return new Response(body);
  };
}

describe('when it stops', () => {
  test('a transfer that ends within the grace is not broken off, and new connections are refused', async () => {
    await using parties = await startAgentParties({ open: true, registry: slowRegistry(300) });
    const answer = await fetch(`${parties.url}/v2/a/blobs/b`);
    const started = performance.now();
    const stopped = parties.listener.stop(10_000);
    await Bun.sleep(50);
    expect(await isPortFree(parties.port)).toBe(true);
    expect((await answer.bytes()).length).toBe(20);
    await stopped;
    expect(performance.now() - started).toBeLessThan(5000);
  });

  test('one that does not is broken off, which the client sees', async () => {
    await using parties = await startAgentParties({ open: true, registry: slowRegistry(60_000) });
    const answer = await fetch(`${parties.url}/v2/a/blobs/b`);
    const started = performance.now();
    const reading = answer.bytes().then(
      () => 'complete',
      () => 'broken off',
    );
    await parties.listener.stop(100);
    expect(await reading).toBe('broken off');
    expect(performance.now() - started).toBeLessThan(2000);
    expect(parties.agent.transfers.count).toBe(0);
  });
});

test('the address is not shared with another agent', async () => {
  await using parties = await startAgentParties({ registry: () => new Response() });
  const address = { host: '127.0.0.1', port: parties.port, tls: null };
  expect(() => listenForClients(address, parties.agent)).toThrow(
    expect.objectContaining({ code: 'EADDRINUSE' }),
  );
});

describeWith(['openssl', 'curl'], 'with TLS', () => {
  let folder: Awaited<ReturnType<typeof createTemporaryFolder>>;
  const files = new Map<string, { keyPath: string; certificatePath: string }>();

  beforeAll(async () => {
    folder = await createTemporaryFolder();
    for (const name of ['agent', 'client', 'stranger'])
      files.set(name, await writeCertificate(folder, name, { alternativeNames: LOOPBACK_NAMES }));
  });

  afterAll(() => folder?.[Symbol.asyncDispose]());

  const read = (name: string, part: 'keyPath' | 'certificatePath') =>
    readFileSync(files.get(name)?.[part] ?? '', 'utf8');

  /** An agent that says ok to whoever reaches it. */
  async function open() {
    const reached: string[] = [];
    const agent: Agent = {
      transfers: new Transfers(),
      tryOut: async () => {},
      handle: async (request) => {
        reached.push(request.url);
        return new Response('ok');
      },
    };
    const tls = {
      certificate: read('agent', 'certificatePath'),
      key: read('agent', 'keyPath'),
      clientAuthorities: read('client', 'certificatePath'),
    };
    const address = { host: '127.0.0.1', port: await findFreePort(), tls };
    const listener = listenForClients(address, agent);
    const url = `https://127.0.0.1:${address.port}/v2/`;
    return { url, address, reached, [Symbol.asyncDispose]: () => listener.stop(0) };
  }

  function ask(url: string, ...more: readonly string[]) {
    return run(['curl', '-sS', '--cacert', files.get('agent')?.certificatePath ?? '', ...more, url]);
  }

  const identity = (name: string) => [
    ...['--cert', files.get(name)?.certificatePath ?? '', '--key', files.get(name)?.keyPath ?? ''],
  ];

  test('a client with a certificate of the authority is served', async () => {
    await using server = await open();
    expect(await ask(server.url, ...identity('client'))).toMatchObject({ exitCode: 0, stdout: 'ok' });
  });

  test('one with another certificate, with none, or without TLS is not', async () => {
    await using server = await open();
    for (const answer of [
      await ask(server.url, ...identity('stranger')),
      await ask(server.url),
      await ask(server.url.replace('https', 'http')),
    ])
      expect([answer.exitCode === 0, answer.stdout]).toEqual([false, '']);
    expect(server.reached).toEqual([]);
  });

  test('its names are those of the certificate', async () => {
    await using server = await open();
    const { isOwnHost, scheme } = identityOf(server.address);
    expect(scheme).toBe('https');
    expect(['localhost', 'localhost:5001', '127.0.0.1:1', '127.0.0.1'].map(isOwnHost)).toEqual(
      Array(4).fill(true),
    );
    expect(
      ['', 'evil.example', '127.0.0.2', '[::1]:5001', 'localhost, evil', 'localhost@evil'].map(isOwnHost),
    ).toEqual(Array(6).fill(false));
  });
});
