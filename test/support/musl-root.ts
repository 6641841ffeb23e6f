/** A root with nothing but an executable and a musl, from what `.ci/musl-parts` leaves. */
import { cp, mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { cachedParts } from './oauth-servers.ts';
import type { TemporaryFolder } from './processes.ts';

/** Returns its path. The executable is where a package has it. */
export async function createMuslRoot(
  folder: TemporaryFolder,
  version: '1.2.3' | '1.2.5',
  executable: string,
): Promise<string> {
  const root = folder.at(`musl-${version}`);
  for (const path of ['etc/registry-token', 'lib', 'proc', 'tmp', 'usr/bin', 'usr/lib'])
    await mkdir(join(root, path), { recursive: true });
  const musl = join(cachedParts, 'musl');
  const loader = 'ld-musl-x86_64.so.1';
  await cp(join(musl, version, loader), join(root, 'lib', loader));
  await symlink(loader, join(root, 'lib/libc.musl-x86_64.so.1'));
  await cp(join(musl, 'lib'), join(root, 'usr/lib'), { recursive: true });
  await cp(executable, join(root, 'usr/bin/registry-token'));
  return root;
}
