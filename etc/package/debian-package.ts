/** The .deb, written by dpkg-deb. Its scripts are in `debian/` beside this file. */
import { createHash } from 'node:crypto';
import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Contents, SCHEMA_PATH } from './contents.ts';
import { type Entry, type FileTree, gzip, writeTree } from './file-tree.ts';
import type { Release } from './release.ts';
import type { Executable, Target } from './target.ts';
import { runTool } from './tool.ts';

/** What the first installation copies to /etc/registry-token; no conffile, so no upgrade ever asks about it. */
const CONFIGURATION_SAMPLE = 'usr/share/registry-token/registry-token.yaml';
const LOGROTATE = 'etc/logrotate.d/registry-token';
const DOCUMENTS = 'usr/share/doc/registry-token';
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
  const tree = await installedTree(executable, contents, release, work);
  await writeTree(root, tree);
  const files = Object.entries(tree).filter(([, entry]) => 'text' in entry || 'copyOf' in entry);
  const sums = await Promise.all(files.map(async ([path]) => `${await md5(join(root, path))}  ${path}\n`));
  const sizes = await Promise.all(files.map(async ([path]) => (await lstat(join(root, path))).size));
  await writeTree(root, {
    'DEBIAN/control': { text: control(target, release, sizes) },
    'DEBIAN/conffiles': { text: `/${LOGROTATE}\n` },
    'DEBIAN/md5sums': { text: sums.sort().join('') },
    ...Object.fromEntries(
      ['postinst', 'prerm', 'postrm'].map((script) => [`DEBIAN/${script}`, scriptEntry(script)]),
    ),
  });
  const name = `registry-token_${release.debianVersion}_${target.architecture}.deb`;
  await runTool(['dpkg-deb', '--root-owner-group', '-Zgzip', '-z1', '--build', root, join(out, name)], {
    env: { SOURCE_DATE_EPOCH: String(release.epoch) },
    failure: `${name} cannot be written`,
  });
  return name;
}

function scriptEntry(name: string): Entry {
  return { copyOf: join(import.meta.dir, 'debian', name), mode: 0o755 };
}

async function installedTree(
  { path }: Executable,
  contents: Contents,
  release: Release,
  work: string,
): Promise<FileTree> {
  const { manPage, completions, samples, documents, packagedConfiguration } = contents;
  // The sample key signs on loopback only: an installation makes a key of its own.
  const examples = Object.entries(samples).filter(
    ([name]) => !/systemd\/registry-token|-sample\.pem$|schema/.test(name),
  );
  const compressed = async (entry: Entry, name: string): Promise<Entry> => {
    await writeTree(work, { [name]: entry });
    return { copyOf: await gzip(join(work, name), 9) };
  };
  return {
    'usr/bin/registry-token': { copyOf: path, mode: 0o755 },
    // By this name docker, podman and skopeo find it as a credential helper.
    'usr/bin/docker-credential-registry-token': { linkTo: 'registry-token' },
    [CONFIGURATION_SAMPLE]: packagedConfiguration,
    [LOGROTATE]: { copyOf: 'etc/systemd/registry-token.logrotate' },
    'usr/lib/systemd/system/registry-token.service': { copyOf: 'etc/systemd/registry-token.service' },
    'usr/lib/tmpfiles.d/registry-token.conf': { copyOf: 'etc/systemd/registry-token.tmpfiles.conf' },
    [SCHEMA_PATH]: { copyOf: 'etc/registry-token.schema.json' },
    'usr/share/man/man1/registry-token.1.gz': await compressed(manPage, 'registry-token.1'),
    'usr/share/bash-completion/completions/registry-token': completions.bash,
    'usr/share/zsh/vendor-completions/_registry-token': completions.zsh,
    'usr/share/fish/vendor_completions.d/registry-token.fish': completions.fish,
    'usr/share/man/man1/docker-credential-registry-token.1.gz': { linkTo: 'registry-token.1.gz' },
    [`${DOCUMENTS}/copyright`]: { text: COPYRIGHT },
    [`${DOCUMENTS}/README.md`]: documents['README.md'] ?? { text: '' },
    [`${DOCUMENTS}/CHANGELOG.md`]: documents['CHANGELOG.md'] ?? { text: '' },
    [`${DOCUMENTS}/changelog.gz`]: await compressed({ text: debianChangelog(release) }, 'changelog'),
    ...Object.fromEntries(
      examples.map(([name, entry]) => [`${DOCUMENTS}/examples/${name.slice('etc/'.length)}`, entry]),
    ),
  };
}

function control(target: Target, release: Release, sizes: readonly number[]): string {
  const kibibytes = sizes.reduce((sum, size) => sum + Math.ceil(size / 1024), 0);
  return `Package: registry-token
Version: ${release.debianVersion}
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
function debianChangelog({ debianVersion, commit, epoch }: Release): string {
  const date = new Date(epoch * 1000).toUTCString().replace('GMT', '+0000');
  return `registry-token (${debianVersion}) unstable; urgency=medium

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
`;

async function md5(path: string): Promise<string> {
  return createHash('md5')
    .update(await readFile(path))
    .digest('hex');
}
