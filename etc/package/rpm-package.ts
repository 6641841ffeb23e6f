/** The .rpm, written by rpmbuild. Its scripts are in `rpm/` beside this file, after configure.sh. */
import { mkdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Contents } from './contents.ts';
import { type FileTree, writeTree } from './file-tree.ts';
import { DOCUMENTS, installedTree, LOGROTATE } from './installed-tree.ts';
import type { Release } from './release.ts';
import { afterInstallation, scriptPath } from './scripts.ts';
import type { Executable, Target } from './target.ts';
import { runTool } from './tool.ts';

/** As rpm calls the processor. */
const ARCHITECTURES = { amd64: 'x86_64', arm64: 'aarch64' } as const satisfies Record<
  Target['architecture'],
  string
>;
const LICENSES = 'usr/share/licenses/registry-token';
/** Folders that are this package's alone. */
const OWNED = ['usr/share/registry-token', DOCUMENTS, LICENSES];

/** The same on every machine that packages, whatever its distribution sets. */
const MACROS = {
  _buildhost: 'localhost',
  use_source_date_epoch_as_buildtime: '1',
  clamp_mtime_to_source_date_epoch: '1',
  // rpm of RHEL 7 and every later one can read it.
  _binary_payload: 'w1.gzdio',
  _binary_filedigest_algorithm: '8',
  // The executable holds the program behind its own end: nothing may be stripped from it.
  debug_package: '%{nil}',
  __os_install_post: '%{nil}',
  _build_id_links: 'none',
};

/** Writes `registry-token-VERSION-1.ARCHITECTURE.rpm` into `out`. `work` is an empty folder. Returns the file's name. */
export async function makeRpm(
  executable: Executable,
  contents: Contents,
  release: Release,
  { work, out }: { readonly work: string; readonly out: string },
): Promise<string> {
  const architecture = ARCHITECTURES[executable.target.architecture];
  const layout = { zshCompletions: 'usr/share/zsh/site-functions', licences: LICENSES, work };
  const tree: FileTree = {
    ...(await installedTree(executable, contents, layout)),
    [`${LICENSES}/LICENSE`]: contents.documents.LICENSE ?? { text: '' },
  };
  const root = join(work, 'files');
  await writeTree(root, tree);
  const spec = join(work, 'registry-token.spec');
  await writeTree(work, { 'registry-token.spec': { text: await specification(tree, release, root) } });
  const top = join(work, 'rpmbuild');
  await mkdir(top);
  const name = `registry-token-${release.packageVersion}-1.${architecture}.rpm`;
  const macros = { ...MACROS, _topdir: top, _rpmdir: work, _rpmfilename: name };
  const defines = Object.entries(macros).flatMap(([key, value]) => ['--define', `${key} ${value}`]);
  const command = ['rpmbuild', '-bb', '--nodeps', '--target', `${architecture}-linux`, ...defines, spec];
  await runTool(command, {
    env: { SOURCE_DATE_EPOCH: String(release.epoch) },
    failure: `${name} cannot be written`,
  });
  await rename(join(work, name), join(out, name));
  return name;
}

/** As rpmbuild reads it: what is installed comes from `root`, nothing is compiled. */
async function specification(tree: FileTree, release: Release, root: string): Promise<string> {
  const script = (text: string) => text.replaceAll('%', '%%').trimEnd();
  const [post, preun, postun] = await Promise.all([
    afterInstallation('rpm/post'),
    readFile(scriptPath('rpm/preun'), 'utf8'),
    readFile(scriptPath('rpm/postun'), 'utf8'),
  ]);
  return `Name: registry-token
Version: ${release.packageVersion}
Release: 1
Summary: Token service for Docker and OCI registries
License: Apache-2.0
# What the executable asks of its C library; found by hand, since the machine that packages may have another.
AutoReqProv: no
Requires: glibc >= 2.17
# The file, since its package has another name in each distribution.
Requires(post): /usr/sbin/useradd

%description
Checks an OAuth 2.0 access token that is bound to its sender by DPoP (RFC 9449)
or mTLS (RFC 8705), and issues the short-lived token that a registry verifies
offline. One executable, one configuration file, no database, nothing fetched
from the internet.

Built from commit ${release.commit}.

%install
cp -a ${root}/. %{buildroot}/

%post
${script(post)}

%preun
${script(preun)}

%postun
${script(postun)}

%files
%defattr(-,root,root,-)
${fileList(tree).join('\n')}
`;
}

function fileList(tree: FileTree): readonly string[] {
  const folders = new Set<string>();
  const files = Object.keys(tree).map((path) => {
    const owner = OWNED.find((folder) => path.startsWith(`${folder}/`));
    if (owner !== undefined) for (const folder of foldersOf(path, owner)) folders.add(folder);
    if (path === LOGROTATE) return `%config(noreplace) /${path}`;
    if (owner === LICENSES) return `%license /${path}`;
    return owner === DOCUMENTS ? `%doc /${path}` : `/${path}`;
  });
  return [...[...folders].map((folder) => `%dir /${folder}`), ...files].sort();
}

/** The folders that lead to a path, from `top` on. */
function foldersOf(path: string, top: string): readonly string[] {
  const names = path.slice(top.length + 1).split('/');
  return names.map((_, depth) => [top, ...names.slice(0, depth)].join('/'));
}
