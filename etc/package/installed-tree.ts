/** What a package of a distribution installs, be it a .deb or an .rpm. */
import { basename, dirname, join } from 'node:path';
import { type Contents, SCHEMA_PATH } from './contents.ts';
import { type Entry, type FileTree, gzip, writeTree } from './file-tree.ts';
import { LICENCES } from './licences.ts';
import type { Executable } from './target.ts';

/** What the first installation copies to /etc/registry-token; no configuration file of the package, so no upgrade asks about it. */
const CONFIGURATION_SAMPLE = 'usr/share/registry-token/registry-token.yaml';
/** The one file that an operator may change: both kinds of package keep the change. */
export const LOGROTATE = 'etc/logrotate.d/registry-token';
export const DOCUMENTS = 'usr/share/doc/registry-token';

export interface Layout {
  /** Where zsh of the distribution looks for completions. */
  readonly zshCompletions: string;
  /** Where the distribution keeps licences. */
  readonly licences: string;
  /** For files on their way; gone with the package's other drafts. */
  readonly work: string;
}

export async function installedTree(
  { path }: Executable,
  contents: Contents,
  { zshCompletions, licences, work }: Layout,
): Promise<FileTree> {
  const { manPage, completions, samples, documents, packagedConfiguration } = contents;
  // The sample key signs on loopback only: an installation makes a key of its own.
  const examples = Object.entries(samples).filter(
    ([name]) => !/systemd\/registry-token|-sample\.pem$|schema/.test(name),
  );
  return {
    'usr/bin/registry-token': { copyOf: path, mode: 0o755 },
    // By this name docker, podman and skopeo find it as a credential helper.
    'usr/bin/docker-credential-registry-token': { linkTo: 'registry-token' },
    [CONFIGURATION_SAMPLE]: packagedConfiguration,
    [LOGROTATE]: { copyOf: 'etc/systemd/registry-token.logrotate' },
    'usr/lib/systemd/system/registry-token.service': { copyOf: 'etc/systemd/registry-token.service' },
    'usr/lib/tmpfiles.d/registry-token.conf': { copyOf: 'etc/systemd/registry-token.tmpfiles.conf' },
    [SCHEMA_PATH]: { copyOf: 'etc/registry-token.schema.json' },
    'usr/share/man/man1/registry-token.1.gz': await compressed(manPage, join(work, 'registry-token.1')),
    'usr/share/man/man1/docker-credential-registry-token.1.gz': { linkTo: 'registry-token.1.gz' },
    'usr/share/bash-completion/completions/registry-token': completions.bash,
    [`${zshCompletions}/_registry-token`]: completions.zsh,
    'usr/share/fish/vendor_completions.d/registry-token.fish': completions.fish,
    [`${licences}/${LICENCES}`]: documents[LICENCES] ?? { text: '' },
    [`${DOCUMENTS}/README.md`]: documents['README.md'] ?? { text: '' },
    [`${DOCUMENTS}/CHANGELOG.md`]: documents['CHANGELOG.md'] ?? { text: '' },
    ...Object.fromEntries(
      examples.map(([name, entry]) => [`${DOCUMENTS}/examples/${name.slice('etc/'.length)}`, entry]),
    ),
  };
}

/** The entry as gzip leaves it, drafted at `path`. */
export async function compressed(entry: Entry, path: string): Promise<Entry> {
  await writeTree(dirname(path), { [basename(path)]: entry });
  return { copyOf: await gzip(path, 9) };
}
