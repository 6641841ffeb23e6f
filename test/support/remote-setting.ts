/** A service whose Authority publishes its keys over HTTP, and may misbehave. */
import { RemoteAuthorityKeys } from '../../src/authority/remote-authority-keys.ts';
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts';
import { type Answer, ask } from './ask.ts';
import { type FaultyAuthority, startFaultyAuthority } from './faulty-authority.ts';
import type { TestKey } from './keys.ts';
import { createHarness, type Harness } from './service.ts';
import { ISSUER } from './tokens.ts';

/** Seconds between two fetches that an unknown `kid` may cause. */
export const COOL_DOWN = 30;
/** Seconds after which a key set is fetched anew. */
export const REFRESH = 300;

export interface RemoteSetting extends AsyncDisposable {
  readonly authority: FaultyAuthority;
  readonly keys: RemoteAuthorityKeys;
  readonly harness: Harness;
  /** The outcome of each fetch, as the metric is told of it. */
  readonly refreshes: (string | null)[];
}

/** `authorityKey` is what the Authority publishes at first. */
export async function createRemoteSetting(authorityKey: TestKey): Promise<RemoteSetting> {
  const authority = await startFaultyAuthority([authorityKey]);
  const refreshes: (string | null)[] = [];
  const keys = new RemoteAuthorityKeys({
    issuer: ISSUER,
    metadataUrl: authority.metadataUrl,
    certificateAuthorities: null,
    maxAge: 300,
    onRefresh: (fault) => void refreshes.push(fault),
  });
  const replayStore = MemoryReplayStore.create(5000, 0);
  const harness = await createHarness({ authorityKeys: keys, authorityKey, replayStore });
  return {
    authority,
    keys,
    harness,
    refreshes,
    [Symbol.asyncDispose]: () => authority[Symbol.asyncDispose](),
  };
}

/** An OpTok as the Authority would sign it with this key, under this `kid`. */
export function opTokBy(harness: Harness, key: TestKey, keyId: string = key.thumbprint): string {
  return harness.opTok({ header: { kid: keyId }, key });
}

/** Asks with such an OpTok, and is as good as any client beside that. */
export function askBy(harness: Harness, key: TestKey, keyId?: string): Promise<Answer> {
  return ask(harness, { opTok: opTokBy(harness, key, keyId) });
}
