/** The version of a package: from package.json, the commit and its tags, in the order in which dpkg and rpm sort. */
import { expect, test } from 'bun:test';
import { describeRelease } from '../../etc/package/release.ts';
import manifest from '../../package.json' with { type: 'json' };
import { describeWith } from '../support/debian-parts.ts';
import { createTemporaryFolder, run, runOrFail } from '../support/processes.ts';

const state = {
  base: '0.2.0',
  commit: '0123456789ab',
  epoch: 1_700_000_000,
  isDirty: false,
  tags: [] as readonly string[],
  reachableTags: ['v0.1.0'] as readonly string[],
  changelog: '# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2023-11-14\n\n## [0.1.0] - 2023-10-01\n',
};
const tagged = { tags: ['v0.2.0'], reachableTags: ['v0.1.0', 'v0.2.0'] };

test('the tagged commit is the version itself', () => {
  const { version, packageVersion, epoch } = describeRelease({ ...state, ...tagged });
  expect([version, packageVersion, epoch]).toEqual(['0.2.0', '0.2.0', 1_700_000_000]);
});

test('any other commit is named with its time, and a changed checkout as such', () => {
  expect(describeRelease(state)).toMatchObject({
    version: '0.2.0-20231114221320.g0123456789ab',
    packageVersion: '0.2.0~20231114221320.g0123456789ab',
  });
  for (const tags of [{}, tagged])
    expect(describeRelease({ ...state, ...tags, isDirty: true }).version).toBe(
      '0.2.0-20231114221320.g0123456789ab.dirty',
    );
});

test('a commit after the release leads to the next one, though package.json still has the old version', () => {
  const after = { ...state, reachableTags: tagged.reachableTags };
  expect(describeRelease(after).version).toBe('0.2.1-20231114221320.g0123456789ab');
});

test('a release without a dated section of CHANGELOG.md is refused', () => {
  for (const changelog of ['# Changelog\n\n## [Unreleased]\n', state.changelog.replace(' - 2023-11-14', '')])
    expect(() => describeRelease({ ...state, ...tagged, changelog })).toThrow(
      'CHANGELOG.md has no section "## [0.2.0] - YYYY-MM-DD"',
    );
});

test('a tag that names another version than package.json is refused', () => {
  expect(() => describeRelease({ ...state, tags: ['v0.3.0'] })).toThrow(
    'The tag of this commit is v0.3.0, and the version in package.json is 0.2.0.',
  );
});

const of = (change: Partial<typeof state>) => describeRelease({ ...state, ...change }).packageVersion;
const order = [
  ['the last release is older than a commit after it', of({ base: '0.1.0', tags: ['v0.1.0'] }), of({})],
  ['a commit is older than a later one', of({}), of({ epoch: state.epoch + 1, commit: '000000000000' })],
  ['a commit is older than the release it leads to', of({}), of(tagged)],
  ['a release is older than a commit after it', of(tagged), of({ reachableTags: tagged.reachableTags })],
] as const;

describeWith(['dpkg'], 'dpkg', () => {
  test.each(order)('%s', async (_, older, newer) => {
    expect((await run(['dpkg', '--compare-versions', older, 'lt', newer])).exitCode).toBe(0);
  });
});

describeWith(['rpm'], 'rpm', () => {
  test.each(order)('%s', async (_, older, newer) => {
    const compare = `%{lua: print(rpm.vercmp("${older}", "${newer}"))}`;
    expect(await runOrFail(['rpm', '--eval', compare])).toBe('-1\n');
  });
});

describeWith(['git'], 'a checkout', () => {
  test('is a release at its tag alone, and only with its section of CHANGELOG.md', async () => {
    await using folder = await createTemporaryFolder();
    const cwd = folder.at('checkout');
    const root = new URL('../..', import.meta.url).pathname;
    await runOrFail(['git', 'clone', '--quiet', '--no-tags', '--depth=1', `file://${root}`, cwd]);
    const git = (...words: readonly string[]) =>
      runOrFail(['git', '-c', 'user.name=test', '-c', 'user.email=test@example.com', ...words], { cwd });
    const script = "console.log((await (await import('./etc/package/release.ts')).readRelease()).version)";
    const release = () => run([process.execPath, '-e', script], { cwd });
    const commit = async (changelog: string) => {
      await Bun.write(`${cwd}/CHANGELOG.md`, changelog);
      await git('commit', '--quiet', '--all', '--message=changelog');
    };
    const { version } = manifest;
    const draft = (of: string) => new RegExp(`^${of.replaceAll('.', '\\.')}-\\d{14}\\.g[0-9a-f]{12}\\n$`);

    await commit('# Changelog\n\n## [Unreleased]\n');
    expect((await release()).stdout).toMatch(draft(version));
    await git('tag', `v${version}`);
    expect((await release()).stderr).toContain(`CHANGELOG.md has no section "## [${version}] - YYYY-MM-DD"`);
    await commit(`# Changelog\n\n## [${version}] - 2026-11-29\n`);
    await git('tag', '--force', `v${version}`);
    expect(await release()).toEqual({ exitCode: 0, stdout: `${version}\n`, stderr: '' });
    await commit('# Changelog\n\n## [Unreleased]\n');
    const next = version.replace(/\d+$/, (patch) => String(Number(patch) + 1));
    expect((await release()).stdout).toMatch(draft(next));
  }, 60_000);
});
