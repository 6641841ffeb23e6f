/** The shell scripts that packages carry. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Where a script is in the checkout: `debian/prerm`. */
export function scriptPath(name: string): string {
  return join(import.meta.dir, name);
}

/** The script that runs when the files are in place: what both kinds of package share, then what is its own. */
export async function afterInstallation(name: string): Promise<string> {
  const [shared, own] = await Promise.all(
    ['configure.sh', name].map((part) => readFile(scriptPath(part), 'utf8')),
  );
  return `${shared}${own}`;
}
