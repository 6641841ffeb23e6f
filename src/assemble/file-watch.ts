/** Notices that files are no longer what they were when they were read: by their state, looked at every second. */
import { fileState } from './file-state.ts';

const LOOK_MS = 1000;

/**
 * Calls `onChange` once files differ from the states that `files` has for them and then stayed the same from one look
 * to the next, so that nothing half-written is read. Looking, rather than being told, sees renames, symbolic links
 * that are swapped (Kubernetes) and network file systems alike. Returns a function that ends it.
 */
export function watchFiles(files: () => ReadonlyMap<string, string>, onChange: () => void): () => void {
  let last = '';
  const timer = setInterval(() => {
    const seen = changesOf(files());
    const settled = seen !== '' && seen === last;
    last = settled ? '' : seen;
    if (settled) onChange();
  }, LOOK_MS);
  return () => clearInterval(timer);
}

/** The files that are not as they were read, and what they are now; empty where there is none. */
function changesOf(files: ReadonlyMap<string, string>): string {
  return [...files]
    .map(([path, read]) => ({ path, read, now: fileState(path) }))
    .filter(({ read, now }) => now !== read)
    .map(({ path, now }) => `${path} ${now}`)
    .join('\n');
}
