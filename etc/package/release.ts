/** What is being packaged: a version, a commit and its time. They are all that a package says of when it was made. */
import { $ } from 'bun';
import { commit as headCommit } from '../../build.ts';
import manifest from '../../package.json' with { type: 'json' };

export interface Release {
  /** Semantic version: `0.1.0` at the tag `v0.1.0`; before it `0.1.0-20261126101600.gabcdef012345`. */
  readonly version: string;
  /** The same in Debian's order: what comes before 0.1.0 has a `~`, which sorts before it. */
  readonly debianVersion: string;
  /** Twelve digits, as `registry-token version` prints them. */
  readonly commit: string;
  /** Epoch seconds: SOURCE_DATE_EPOCH where it is set, else the time of the commit. */
  readonly epoch: number;
}

/**
 * Reads it from the checkout. A checkout with changes that are not committed says so in the version (`.dirty`),
 * since two builds of that commit may differ. Throws where there is neither a commit nor SOURCE_DATE_EPOCH.
 */
export async function readRelease(sourceDateEpoch: string | undefined): Promise<Release> {
  const commit = await headCommit();
  const epoch = Number(sourceDateEpoch ?? (await $`git log -1 --format=%ct`.quiet().nothrow().text()));
  if (!Number.isSafeInteger(epoch) || epoch <= 0)
    throw new Error('No time to give the files: package from a git checkout, or set SOURCE_DATE_EPOCH.');
  const tags = await $`git tag --points-at HEAD`.quiet().nothrow().text();
  const changes = await $`git status --porcelain`.quiet().nothrow().text();
  return describeRelease({
    base: manifest.version,
    commit,
    epoch,
    isTagged: tags.split('\n').includes(`v${manifest.version}`),
    isDirty: changes.trim() !== '',
  });
}

/** The names of a release: pure, for the tests. */
export function describeRelease(state: {
  readonly base: string;
  readonly commit: string;
  readonly epoch: number;
  readonly isTagged: boolean;
  readonly isDirty: boolean;
}): Release {
  const { base, commit, epoch, isTagged, isDirty } = state;
  const time = new Date(epoch * 1000).toISOString().replace(/\D/g, '').slice(0, 14);
  const before = isTagged && !isDirty ? '' : `${time}.g${commit}${isDirty ? '.dirty' : ''}`;
  return {
    version: before === '' ? base : `${base}-${before}`,
    debianVersion: before === '' ? base : `${base}~${before}`,
    commit,
    epoch,
  };
}
