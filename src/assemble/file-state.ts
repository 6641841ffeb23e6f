/** What a file is like without reading it: two different states mean that it may have changed. */
import { statSync } from 'node:fs';
import { errorCode } from '../platform/errors.ts';

/** Device, inode, size and times of a file, through symbolic links; or why they cannot be had. */
export function fileState(path: string): string {
  try {
    const { dev, ino, size, mtimeNs } = statSync(path, { bigint: true });
    return `${dev} ${ino} ${size} ${mtimeNs}`;
  } catch (cause) {
    return errorCode(cause);
  }
}
