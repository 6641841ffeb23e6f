/**
 * What is being packaged: a version, a commit and its time. They are all that a package says of when it was made. The
 * version is that of package.json; the commit with its tag is the release, every other commit is a development version.
 */
import { readFile } from 'node:fs/promises';
import { $ } from 'bun';
import { commit as headCommit } from '../../build.ts';
import manifest from '../../package.json' with { type: 'json' };

export interface Release {
  /** Semantic version: `0.2.0` at the tag `v0.2.0`; before it `0.2.0-20261126101600.gabcdef012345`. */
  readonly version: string;
  /** The same in the order of dpkg and rpm: what comes before 0.2.0 has a `~`, which sorts before it. */
  readonly packageVersion: string;
  /** Twelve digits, as `registry-token version` prints them. */
  readonly commit: string;
  /** Epoch seconds: SOURCE_DATE_EPOCH where it is set, else the time of the commit. */
  readonly epoch: number;
}

/** What a checkout says of itself. */
export interface Checkout {
  /** The version in package.json. */
  readonly base: string;
  readonly commit: string;
  readonly epoch: number;
  /** Whether there are changes that are not committed: two builds of the commit may differ then. */
  readonly isDirty: boolean;
  /** The tags of this commit: `v0.2.0`. */
  readonly tags: readonly string[];
  /** The tags of this commit and of those before it. */
  readonly reachableTags: readonly string[];
  readonly changelog: string;
}

/** Reads it from the checkout. Throws where it is none, and where tag, package.json and CHANGELOG.md do not agree. */
export async function readRelease(sourceDateEpoch: string | undefined): Promise<Release> {
  const epoch = Number(sourceDateEpoch ?? (await $`git log -1 --format=%ct`.quiet().nothrow().text()));
  if (!Number.isSafeInteger(epoch) || epoch <= 0)
    throw new Error('No time to give the files: package from a git checkout, or set SOURCE_DATE_EPOCH.');
  const changes = await $`git status --porcelain`.quiet().nothrow().text();
  return describeRelease({
    base: manifest.version,
    commit: await headCommit(),
    epoch,
    isDirty: changes.trim() !== '',
    tags: lines(await $`git tag --points-at HEAD`.quiet().nothrow().text()),
    reachableTags: lines(await $`git tag --merged HEAD`.quiet().nothrow().text()),
    changelog: await readFile('CHANGELOG.md', 'utf8'),
  });
}

function lines(text: string): readonly string[] {
  return text.split('\n').filter((line) => line !== '');
}

/** The names of a release. Pure. Throws where tag, package.json and CHANGELOG.md do not agree. */
export function describeRelease(checkout: Checkout): Release {
  const { base, commit, epoch, isDirty, tags } = checkout;
  const named = tags.filter((tag) => /^v\d/.test(tag));
  const [other] = named.filter((tag) => tag !== `v${base}`);
  if (other !== undefined)
    throw new Error(`The tag of this commit is ${other}, and the version in package.json is ${base}.`);
  if (named.length > 0 && !isDirty) {
    if (!hasSection(checkout.changelog, base))
      throw new Error(
        `CHANGELOG.md has no section "## [${base}] - YYYY-MM-DD": write it, then tag v${base}.`,
      );
    return { version: base, packageVersion: base, commit, epoch };
  }
  const next = checkout.reachableTags.includes(`v${base}`) && named.length === 0 ? patchAfter(base) : base;
  const time = new Date(epoch * 1000).toISOString().replace(/\D/g, '').slice(0, 14);
  const draft = `${time}.g${commit}${isDirty ? '.dirty' : ''}`;
  return { version: `${next}-${draft}`, packageVersion: `${next}~${draft}`, commit, epoch };
}

/** `## [0.2.0] - 2026-12-01`, as Keep a Changelog has it. */
function hasSection(changelog: string, version: string): boolean {
  const headings = changelog.matchAll(/^## \[(.+)\] - \d{4}-\d{2}-\d{2}$/gm);
  return [...headings].some(([, name]) => name === version);
}

/** What comes after a release is newer than it, though package.json still has its version. */
function patchAfter(version: string): string {
  const [major = '0', minor = '0', patch = '0'] = version.split('.');
  return `${major}.${minor}.${Number(patch) + 1}`;
}
