/** What an image has beside the executable and its C library. */
import { rootCertificates } from 'node:tls';
import type { FileTree } from './file-tree.ts';

/** `user` is the number of the one user beside root. */
export function imageBase(user: number): FileTree {
  return {
    'etc/passwd': {
      text: `root:x:0:0:root:/:/sbin/nologin\nregistry-token:x:${user}:${user}::/:/sbin/nologin\n`,
    },
    'etc/group': { text: `root:x:0:\nregistry-token:x:${user}:\n` },
    // Mozilla's list as Bun has it: the same on every machine that packages, whatever that machine trusts.
    'etc/ssl/certs/ca-certificates.crt': {
      text: `${rootCertificates.map((pem) => pem.trim()).join('\n')}\n`,
    },
    'etc/registry-token': { folder: true },
    tmp: { folder: true, mode: 0o1777 },
  };
}
