/** The Authority in a process of its own, whose clock may be another than that of the tests. */
import { type Authority, type AuthorityOptions, startAuthority } from './authority.ts';
import { start } from './processes.ts';

export type AuthorityProcess = Pick<Authority, 'issuer' | 'requestsTo' | typeof Symbol.asyncDispose>;

/** `environment` as of `Child`. What it counts may be some milliseconds behind the answers. */
export async function startAuthorityProcess(
  options: AuthorityOptions,
  environment: Readonly<Record<string, string>>,
): Promise<AuthorityProcess> {
  const words = [process.execPath, 'run', import.meta.path, JSON.stringify(options)];
  const child = start(words, { env: environment });
  const [, issuer = ''] = await child.waitForLine(/^issuer (.*)$/);
  return {
    issuer,
    requestsTo: (path) =>
      child
        .stdout()
        .split('\n')
        .filter((line) => line === `request ${path}`).length,
    [Symbol.asyncDispose]: child[Symbol.asyncDispose],
  };
}

if (import.meta.main) {
  const print = (line: string) => process.stdout.write(`${line}\n`);
  const options = JSON.parse(process.argv[2] ?? '') as AuthorityOptions;
  const { issuer } = await startAuthority(options, (path) => print(`request ${path}`));
  print(`issuer ${issuer}`);
}
