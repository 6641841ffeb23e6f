/** The used proofs over a planned stop: kept whole, taken once, and worth nothing when anything about the file is wrong. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { userInfo } from 'node:os';
import fc from 'fast-check';
import {
  type KeptState,
  MemoryReplayStore,
  type RestoredState,
} from '../../src/replay/memory-replay-store.ts';
import { createTemporaryFolder, runOrFail } from '../support/processes.ts';

const NOW = 1_800_000_000;
const SKEW = 30;
const keyOf = (name: string) => createHash('sha256').update(name).digest();

let folder: Awaited<ReturnType<typeof createTemporaryFolder>>;
beforeAll(async () => {
  folder = await createTemporaryFolder();
});
afterAll(() => folder[Symbol.asyncDispose]());

interface Process {
  readonly store: MemoryReplayStore;
  /** May be set. */
  readonly clock: { now: number };
  readonly restored: RestoredState[];
  readonly saved: { entries: number; fault: string | null }[];
  readonly notNoted: string[];
}

/** A process that starts at `now` and takes over what the one before kept. */
function startAt(now: number, path: string, { capacity = 1000, clockSkew = SKEW } = {}): Process {
  const restored: Process['restored'] = [];
  const saved: Process['saved'] = [];
  const notNoted: Process['notNoted'] = [];
  const kept: KeptState = {
    path,
    onRestored: (found) => restored.push(found),
    onNotNoted: (fault) => notNoted.push(fault),
    onSaved: (found) => saved.push(found),
  };
  const clock = { now };
  const store = MemoryReplayStore.create(capacity, now, { kept, clock: () => clock.now });
  store.restore(clockSkew);
  return { store, clock, restored, saved, notNoted };
}

describe('a planned restart', () => {
  test('forgets no used proof and doubts no fresh one', async () => {
    const path = folder.at('planned');
    const before = startAt(NOW, path);
    expect(before.store.insert(keyOf('used'), NOW + 600, NOW)).toBe('first');
    await before.store.close();
    expect(before.saved).toEqual([{ entries: 1, fault: null }]);
    expect(statSync(path).mode & 0o777).toBe(0o600);

    const after = startAt(NOW + 2, path);
    expect(after.restored).toEqual([{ entries: 1, fault: null, doubted: 0, setBack: 0 }]);
    expect(after.store.rememberedSince).toBe(before.store.rememberedSince);
    expect(after.store.insert(keyOf('used'), NOW + 600, NOW + 2)).toBe('replayed');
    expect(after.store.insert(keyOf('fresh'), NOW + 600, NOW + 2)).toBe('first');
    expect(existsSync(path)).toBe(false);
  });

  test('of any entries: each proof is known until its end, by the process after the next too', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.record({ name: fc.nat(10_000), life: fc.integer({ min: 1, max: 900 }) }), {
          selector: ({ name }) => name,
          maxLength: 60,
        }),
        fc.integer({ min: 0, max: 400 }),
        async (proofs, pause) => {
          const path = folder.at('any');
          const before = startAt(NOW, path);
          for (const { name, life } of proofs)
            expect(before.store.insert(keyOf(`${name}`), NOW + life, NOW)).toBe('first');
          await before.store.close();
          const between = startAt(NOW + pause, path);
          await between.store.close();
          const now = NOW + pause + 1;
          const { store } = startAt(now, path);
          for (const { name, life } of proofs)
            if (NOW + life >= now) expect(store.insert(keyOf(`${name}`), NOW + life, now)).toBe('replayed');
        },
      ),
      { numRuns: 100 },
    );
    // Each start and stop waits for the disk.
  }, 60_000);

  test('with a clock that was set back meanwhile, which is told', async () => {
    const path = folder.at('set-back');
    const before = startAt(NOW, path);
    before.store.insert(keyOf('used'), NOW + 600, NOW);
    await before.store.close();
    const after = startAt(NOW - 100, path);
    expect(after.restored).toEqual([{ entries: 1, fault: null, doubted: 0, setBack: 100 }]);
    expect(after.store.insert(keyOf('used'), NOW + 600, NOW - 100)).toBe('replayed');
  });

  test('keeps what was freed too early as unavailable', async () => {
    const path = folder.at('freed');
    const { store } = startAt(NOW, path, { capacity: 2 });
    for (const name of ['a', 'b']) expect(store.insert(keyOf(name), NOW + 10, NOW)).toBe('first');
    // A clock that is ahead for a moment frees both.
    for (const name of ['c', 'd']) expect(store.insert(keyOf(name), NOW + 600, NOW + 100)).toBe('first');
    await store.close();
    expect(startAt(NOW + 1, path).store.insert(keyOf('a'), NOW + 10, NOW + 1)).toBe('unavailable');
  });

  test('with a clock that was ahead at the stop, or at the start, forgets no used proof', async () => {
    for (const [stop, start] of [
      [NOW + 800, NOW + 1],
      [NOW, NOW + 800],
    ] as const) {
      const path = folder.at('ahead');
      const before = startAt(NOW, path);
      expect(before.store.insert(keyOf('used'), NOW + 640, NOW)).toBe('first');
      before.clock.now = stop;
      await before.store.close();
      const { store, restored } = startAt(start, path);
      expect(restored[0]?.fault).toBeNull();
      // Dated 600 s before its deadline.
      const needsNonce = NOW + 40 < store.rememberedSince;
      expect(needsNonce || store.insert(keyOf('used'), NOW + 640, NOW + 2) === 'unavailable').toBe(true);
    }
  });

  test('ends the refusal of all proofs that follows a clock which was long ahead: they need a nonce instead', async () => {
    const path = folder.at('long-ahead');
    const day = 86_400;
    const before = startAt(NOW, path);
    for (let index = 0; index < 3; index += 1) {
      const now = NOW + day + index * 700;
      before.store.insert(keyOf(`ahead ${index}`), now + 600, now);
    }
    before.clock.now = NOW + 10;
    expect(before.store.insert(keyOf('new'), NOW + 610, NOW + 10)).toBe('unavailable');
    expect(await before.store.failing()).toMatch(
      /^the clock was set back, and proofs dated up to \S+ are refused: restart the service$/,
    );
    await before.store.close();
    const { store, restored } = startAt(NOW + 20, path);
    expect(await store.failing()).toBeNull();
    const since = NOW + day + 701;
    expect(store.rememberedSince).toBe(since);
    expect(restored[0]).toMatchObject({ fault: null, doubted: since - NOW - 20 });
    expect(store.insert(keyOf('new'), NOW + 620, NOW + 20)).toBe('first');
    // The last of those days is still known.
    expect(store.insert(keyOf('ahead 2'), NOW + day + 2000, NOW + 20)).toBe('replayed');
  });

  test('nothing is recorded once the file is written', async () => {
    const { store } = startAt(NOW, folder.at('closed'));
    await store.close();
    expect(store.insert(keyOf('late'), NOW + 10, NOW)).toBe('unavailable');
  });
});

describe('without a state to take over, proofs dated before the start and ahead of it are in doubt', () => {
  const doubted = (path: string, now = NOW + 2, capacity = 1000) => {
    const { store, restored } = startAt(now, path, { capacity });
    expect(store.rememberedSince).toBe(now + SKEW);
    return restored[0]?.fault ?? '';
  };
  const keep = async (path: string, names: readonly string[] = ['used']) => {
    const { store } = startAt(NOW, path);
    for (const name of names) store.insert(keyOf(name), NOW + 600, NOW);
    await store.close();
    return readFileSync(path);
  };

  test('after a crash: the file was taken at the start before', async () => {
    const path = folder.at('crash');
    await keep(path);
    startAt(NOW + 1, path);
    expect(doubted(path)).toBe('there is none');
  });

  test.each<[string, (content: Buffer) => Uint8Array, string]>([
    ['half a file', (content) => content.subarray(0, 70), 'it holds something else'],
    [
      'an entry less',
      (content) => Buffer.concat([content.subarray(0, -52), content.subarray(-32)]),
      'it is damaged',
    ],
    ['a flipped bit', (content) => content.map((byte, at) => (at === 60 ? byte ^ 1 : byte)), 'it is damaged'],
    ['an empty file', () => new Uint8Array(), 'it holds something else'],
  ])('with %s', async (_title, damage, fault) => {
    const path = folder.at('damaged');
    writeFileSync(path, damage(await keep(path)));
    expect(doubted(path)).toBe(fault);
    expect(existsSync(path)).toBe(false);
  });

  test('with a file of a process that was still stopping when this one had started', async () => {
    const path = folder.at('overlap');
    const stopping = startAt(NOW, path);
    const next = startAt(NOW + 1, path);
    await stopping.store.close();
    expect(stopping.saved[0]?.fault).toBe('another process has started with this file since');
    next.store.insert(keyOf('used'), NOW + 600, NOW + 1);
    expect(doubted(path)).toBe('there is none');
  });

  test('with a file that was taken before, and is back', async () => {
    const path = folder.at('back');
    const content = await keep(path);
    startAt(NOW + 1, path);
    writeFileSync(path, content, { mode: 0o600 });
    expect(doubted(path)).toBe('another process has started with this file since');
  });

  test('with a file that others may write, or that is too old, or that has no room', async () => {
    const path = folder.at('unusable');
    await keep(path);
    chmodSync(path, 0o660);
    expect(doubted(path)).toBe('other users can write to it');
    await keep(path);
    expect(doubted(path, NOW + 3600)).toBe('it is too old to matter');
    await keep(path, ['a', 'b', 'c']);
    expect(doubted(path, NOW + 2, 2)).toBe('it has more proofs than senderConstraint.replay.capacity');
  });

  test('with a file of another user, who can have written anything', async () => {
    const path = folder.at('of-another');
    const content = await keep(path);
    if (userInfo().uid === 0) chownSync(path, 65534, 65534);
    else {
      writeFileSync(folder.at('content'), content);
      const install = ['install', '-o', '65534', '-m', '600', folder.at('content'), path];
      await runOrFail(['sudo', '-n', ...install]);
    }
    expect(doubted(path)).toBe('it belongs to the user 65534');
  });

  test('for as long as the former process accepted proofs dated ahead, if that is longer', async () => {
    const path = folder.at('former-skew');
    const before = startAt(NOW, path, { clockSkew: 10 });
    before.store.admitAhead(200);
    before.store.admitAhead(5);
    const after = startAt(NOW + 2, path, { clockSkew: 20 });
    expect(after.store.rememberedSince).toBe(NOW + 2 + 200);
    expect(after.restored).toEqual([{ entries: 0, fault: 'there is none', doubted: 200, setBack: 0 }]);
    expect(startAt(NOW + 4, path, { clockSkew: 15 }).store.rememberedSince).toBe(NOW + 4 + 20);
  });

  test('with the file of a former version, which does not tell how long, for the longest time', () => {
    const path = folder.at('former-version');
    startAt(NOW, path);
    writeFileSync(`${path}.owner`, readFileSync(`${path}.owner`).subarray(0, 16));
    expect(startAt(NOW + 2, path).store.rememberedSince).toBe(NOW + 2 + 300);
  });

  test('with a named pipe where the process before is noted, which is not waited for', async () => {
    const path = folder.at('pipe');
    await runOrFail(['mkfifo', `${path}.owner`]);
    expect(doubted(path)).toBe('there is none');
  });

  test('a process that is not the last to start with the file notes nothing there, and tells', () => {
    const path = folder.at('not-noted');
    const first = startAt(NOW, path);
    startAt(NOW + 1, path);
    const noted = readFileSync(`${path}.owner`);
    first.store.admitAhead(200);
    expect(first.notNoted).toEqual(['another process has started with this file since']);
    expect(readFileSync(`${path}.owner`)).toEqual(noted);
  });

  test('a clock that is behind the start of the former process is told after a crash too', () => {
    const path = folder.at('crash-set-back');
    startAt(NOW, path);
    expect(startAt(NOW - 50, path).restored[0]).toMatchObject({ fault: 'there is none', setBack: 50 });
  });

  test('and what is no file of used proofs is not removed: a folder, another file, a link', () => {
    const place = folder.at('a-folder');
    mkdirSync(place);
    const key = folder.at('a-key.pem');
    writeFileSync(key, '-----BEGIN PRIVATE KEY-----\n');
    const link = folder.at('a-link');
    symlinkSync(key, link);
    for (const path of [place, key, link]) {
      expect(doubted(path)).toBe('it holds something else');
      expect(existsSync(path)).toBe(true);
    }
  });
});
