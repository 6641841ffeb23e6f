/** Whether the service can issue now: what it depends on, asked. */
import type { AuthorityKeys } from '../authenticate/authority-keys.ts';
import type { ReplayStore } from '../authenticate/replay-store.ts';
import { RemoteAuthorityKeys } from '../authority/remote-authority-keys.ts';
import type { FailingPart } from '../endpoints.ts';
import { RedisReplayStore } from '../replay/redis-replay-store.ts';

/** The parts that fail, each with why. `now` in epoch seconds. */
export async function findFailingParts(
  authorityKeys: AuthorityKeys,
  replayStore: ReplayStore,
  now: number,
): Promise<readonly FailingPart[]> {
  const failing: FailingPart[] = [];
  if (authorityKeys instanceof RemoteAuthorityKeys) {
    // Not waited for: who asks wants to know how it is now, and an Authority that hangs would delay it.
    void authorityKeys.refreshIfNeeded(now);
    const detail = authorityKeys.failing(now);
    if (detail !== null) failing.push({ part: 'authority-keys', detail });
  }
  const replayFault = replayStore instanceof RedisReplayStore ? await replayStore.check() : null;
  if (replayFault !== null) failing.push({ part: 'replay-store', detail: replayFault });
  return failing;
}
