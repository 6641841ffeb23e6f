/** The service with the keys of a real Authority, on a port of loopback: for clients that run in the test's process. */
import { createFileAuthorityKeys } from '../../src/authority/file-authority-keys.ts';
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts';
import { AUTHORITY_AUDIENCE, type Authority } from './authority.ts';
import { createHarness, type Harness, noCertificate } from './service.ts';

export interface ServedHarness extends AsyncDisposable {
  readonly harness: Harness;
  /** Where it is. */
  readonly realm: string;
}

/** Starts it; its realm is where it is. */
export async function serveHarness(authority: Authority): Promise<ServedHarness> {
  const now = () => Date.now() / 1000;
  const keySet = await (await fetch(`${authority.issuer}/jwks`)).text();
  const realms = new Set<string>();
  const harness: Harness = await createHarness({
    authorityKeys: createFileAuthorityKeys(keySet),
    opTok: { issuer: authority.issuer, audiences: [AUTHORITY_AUDIENCE] },
    dpop: { realms },
    replayStore: MemoryReplayStore.create(100, now() - 60),
  });
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: (request) => {
      harness.clock.now = now();
      return harness.handle(request, noCertificate);
    },
  });
  const realm = `http://127.0.0.1:${server.port}/token`;
  realms.add(realm);
  return { harness, realm, [Symbol.asyncDispose]: () => server.stop(true) };
}
