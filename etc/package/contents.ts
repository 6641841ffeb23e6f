/** What an operator gets beside the executable: samples, manual page, completions, documents. */
import { readFile } from 'node:fs/promises';
import { describeCommands } from './commands.ts';
import { renderBash, renderFish, renderZsh } from './completions.ts';
import type { Entry, FileTree } from './file-tree.ts';
import { bundledPackages, LICENCES, renderLicences } from './licences.ts';
import { renderManPage } from './man-page.ts';
import type { Release } from './release.ts';

/** The same on every machine: made once for all packages. */
export interface Contents {
  readonly manPage: Entry;
  readonly completions: { readonly bash: Entry; readonly zsh: Entry; readonly fish: Entry };
  /** `etc/` as it is in the repository, without what makes packages. */
  readonly samples: FileTree;
  /** README, CHANGELOG, SECURITY, LICENSE, and the licences of what others wrote. */
  readonly documents: FileTree;
  /** The sample of the configuration as a package's first installation writes it to /etc. */
  readonly packagedConfiguration: Entry;
}

export const SCHEMA_PATH = 'usr/share/registry-token/registry-token.schema.json';

/** `bundled` are the files that are in the executables. */
export async function gatherContents(release: Release, bundled: readonly string[]): Promise<Contents> {
  const commands = await describeCommands();
  const paths = [...new Bun.Glob('**/*').scanSync({ cwd: 'etc' })].filter(isSample).sort();
  return {
    manPage: { text: renderManPage(commands, release) },
    completions: {
      bash: { text: renderBash(commands) },
      zsh: { text: renderZsh(commands) },
      fish: { text: renderFish(commands) },
    },
    samples: Object.fromEntries(paths.map((path) => [`etc/${path}`, { copyOf: `etc/${path}` }])),
    documents: {
      ...Object.fromEntries(
        ['README.md', 'CHANGELOG.md', 'SECURITY.md', 'LICENSE'].map((name) => [name, { copyOf: name }]),
      ),
      [LICENCES]: { text: await renderLicences(await bundledPackages(bundled)) },
    },
    packagedConfiguration: { text: packagedConfiguration(await readFile('etc/registry-token.yaml', 'utf8')) },
  };
}

/** An operator's own files beside the samples (`registry-token.local.yaml`, keys) are no part of a package. */
function isSample(path: string): boolean {
  return (
    !path.startsWith('package/') &&
    !path.includes('.local.') &&
    !/(?:^|\/)registry-signing(?!-sample)/.test(path)
  );
}

/**
 * The sample names the sample key, which is public: an installed configuration names the key that
 * `keygen --out /etc/registry-token` makes, and the folders that the unit lets the service write to.
 */
export function packagedConfiguration(sample: string): string {
  const changes = [
    ['$schema=registry-token.schema.json', `$schema=/${SCHEMA_PATH}`],
    [
      /keyPath: registry-signing-sample\.pem .*$/m,
      'keyPath: registry-signing.pem # keygen --out /etc/registry-token',
    ],
    [
      /replay: \{ store: memory, capacity: 1000000 \} .*$/m,
      'replay: { store: memory, capacity: 1000000, statePath: /var/lib/registry-token/replay.state }',
    ],
    ['  # auditPath: audit.log             #', '  # auditPath: /var/log/registry-token/audit.log #'],
    [
      /^# telemetry: \{ listen: 127\.0\.0\.1:9095, console: true \}$/m,
      'telemetry: { listen: "unix:/run/registry-token/telemetry.sock", console: false }',
    ],
  ] as const;
  return changes.reduce((text, [old, next]) => {
    const changed = text.replace(old, () => next);
    if (changed === text)
      throw new Error(`etc/registry-token.yaml no longer has ${old}: see etc/package/contents.ts`);
    return changed;
  }, sample);
}
