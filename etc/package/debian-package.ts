/** The .deb, written by dpkg-deb. Its scripts are in `debian/` beside this file, after configure.sh. */
import { createHash } from 'node:crypto';
import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Contents } from './contents.ts';
import { type FileTree, writeTree } from './file-tree.ts';
import { compressed, DOCUMENTS, installedTree, LOGROTATE } from './installed-tree.ts';
import type { Release } from './release.ts';
import { afterInstallation, scriptPath } from './scripts.ts';
import type { Executable, Target } from './target.ts';
import { runTool } from './tool.ts';

const MAINTAINER = 'registry-token maintainers <maintainers@registry-token.invalid>';

/** Writes `registry-token_VERSION_ARCHITECTURE.deb` into `out`. `work` is an empty folder. Returns the file's name. */
export async function makeDebianPackage(
  executable: Executable,
  contents: Contents,
  release: Release,
  { work, out }: { readonly work: string; readonly out: string },
): Promise<string> {
  const { target } = executable;
  const root = join(work, 'root');
  const tree: FileTree = {
    ...(await installedTree(executable, contents, {
      zshCompletions: 'usr/share/zsh/vendor-completions',
      licences: DOCUMENTS,
      work,
    })),
    [`${DOCUMENTS}/copyright`]: { text: COPYRIGHT },
    [`${DOCUMENTS}/changelog.gz`]: await compressed(
      { text: debianChangelog(release) },
      join(work, 'changelog'),
    ),
  };
  await writeTree(root, tree);
  const files = Object.entries(tree).filter(([, entry]) => 'text' in entry || 'copyOf' in entry);
  const sums = await Promise.all(files.map(async ([path]) => `${await md5(join(root, path))}  ${path}\n`));
  const sizes = await Promise.all(files.map(async ([path]) => (await lstat(join(root, path))).size));
  await writeTree(root, {
    'DEBIAN/control': { text: control(target, release, sizes) },
    'DEBIAN/conffiles': { text: `/${LOGROTATE}\n` },
    'DEBIAN/md5sums': { text: sums.sort().join('') },
    'DEBIAN/postinst': { text: await afterInstallation('debian/postinst'), mode: 0o755 },
    'DEBIAN/prerm': { copyOf: scriptPath('debian/prerm'), mode: 0o755 },
    'DEBIAN/postrm': { copyOf: scriptPath('debian/postrm'), mode: 0o755 },
  });
  const name = `registry-token_${release.packageVersion}_${target.architecture}.deb`;
  await runTool(['dpkg-deb', '--root-owner-group', '-Zgzip', '-z1', '--build', root, join(out, name)], {
    env: { SOURCE_DATE_EPOCH: String(release.epoch) },
    failure: `${name} cannot be written`,
  });
  return name;
}

function control(target: Target, release: Release, sizes: readonly number[]): string {
  const kibibytes = sizes.reduce((sum, size) => sum + Math.ceil(size / 1024), 0);
  return `Package: registry-token
Version: ${release.packageVersion}
Architecture: ${target.architecture}
Maintainer: ${MAINTAINER}
Installed-Size: ${kibibytes}
Depends: libc6 (>= 2.17), passwd
Recommends: ca-certificates
Section: net
Priority: optional
Description: token service for Docker and OCI registries
 Checks an OAuth 2.0 access token that is bound to its sender by DPoP
 (RFC 9449) or mTLS (RFC 8705), and issues the short-lived token that a
 registry verifies offline. One executable, one configuration file, no
 database, nothing fetched from the internet.
 .
 Built from commit ${release.commit}.
`;
}

/** As dpkg-parsechangelog reads it: deb-changelog(5). */
function debianChangelog({ packageVersion, commit, epoch }: Release): string {
  const date = new Date(epoch * 1000).toUTCString().replace('GMT', '+0000');
  return `registry-token (${packageVersion}) unstable; urgency=medium

  * Built from commit ${commit}; CHANGELOG.md beside this file tells what is new.

 -- ${MAINTAINER}  ${date}
`;
}

const COPYRIGHT = `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: registry-token

Files: *
Copyright: Copyright the registry-token authors
License: Apache-2.0
 On Debian systems, the licence is in /usr/share/common-licenses/Apache-2.0.

Files: usr/bin/registry-token
Copyright: those named in THIRD-PARTY-LICENSES beside this file
License: THIRD-PARTY-LICENSES
 The executable holds software of others: THIRD-PARTY-LICENSES lists it, with
 its licences.
`;

async function md5(path: string): Promise<string> {
  return createHash('md5')
    .update(await readFile(path))
    .digest('hex');
}
