/** Notices that a file has changed: by its content's fingerprint in the file system, looked at every second. */
import { statSync } from 'node:fs';

const LOOK_MS = 1000;

/**
 * Calls `onChange` once the files have changed and then stayed the same from one look to the next, so that nothing
 * half-written is read. Looking, rather than being told, sees renames, symbolic links that are swapped
 * (Kubernetes) and network file systems alike. Returns a function that ends it.
 */
export function watchFiles(files: () => ReadonlySet<string>, onChange: () => void): () => void {
  let settled = fingerprint(files());
  let last = settled;
  const timer = setInterval(() => {
    const paths = files();
    const seen = fingerprint(paths);
    if (seen === last && seen !== settled) {
      settled = seen;
      onChange();
    }
    last = seen;
  }, LOOK_MS);
  return () => clearInterval(timer);
}

/** Device, inode, size and times of each file, through symbolic links. */
function fingerprint(paths: ReadonlySet<string>): string {
  return [...paths]
    .map((path) => {
      const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
      return stats === undefined
        ? `${path} absent`
        : `${path} ${stats.dev} ${stats.ino} ${stats.size} ${stats.mtimeNs}`;
    })
    .join('\n');
}
