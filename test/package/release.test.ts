/** The version of a package: from package.json and the commit, in the order in which dpkg sorts. */
import { expect, test } from 'bun:test';
import { describeRelease } from '../../etc/package/release.ts';
import { describeWith } from '../support/debian-parts.ts';
import { run } from '../support/processes.ts';

const state = {
  base: '0.2.0',
  commit: '0123456789ab',
  epoch: 1_700_000_000,
  isTagged: false,
  isDirty: false,
};

test('the tagged commit is the version itself', () => {
  const { version, debianVersion, epoch } = describeRelease({ ...state, isTagged: true });
  expect([version, debianVersion, epoch]).toEqual(['0.2.0', '0.2.0', 1_700_000_000]);
});

test('any other commit is named with its time, and a changed checkout as such', () => {
  expect(describeRelease(state)).toMatchObject({
    version: '0.2.0-20231114221320.g0123456789ab',
    debianVersion: '0.2.0~20231114221320.g0123456789ab',
  });
  for (const isTagged of [true, false])
    expect(describeRelease({ ...state, isTagged, isDirty: true }).version).toBe(
      '0.2.0-20231114221320.g0123456789ab.dirty',
    );
});

describeWith(['dpkg'], 'dpkg', () => {
  const of = (change: Partial<typeof state>) => describeRelease({ ...state, ...change }).debianVersion;
  test.each([
    ['the last release is older than a commit after it', of({ base: '0.1.0', isTagged: true }), of({})],
    ['a commit is older than a later one', of({}), of({ epoch: state.epoch + 1, commit: '000000000000' })],
    ['a commit is older than the release it leads to', of({}), of({ isTagged: true })],
  ])('%s', async (_, older, newer) => {
    expect((await run(['dpkg', '--compare-versions', older, 'lt', newer])).exitCode).toBe(0);
  });
});
