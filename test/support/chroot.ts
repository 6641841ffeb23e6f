/** The words that run a program in another root, with /proc as every container has it. */

export interface ChrootOptions {
  /** `USER:GROUP`, numbers; root where not given. */
  readonly user?: string;
}

/** /proc is mounted where nobody else sees it, and goes with the program: JavaScriptCore reads it when it starts. */
export function inRoot(
  root: string,
  command: readonly string[],
  { user = '0:0' }: ChrootOptions = {},
): string[] {
  const script =
    'mount --rbind /proc "$1/proc" && root=$1 user=$2 && shift 2 && exec chroot --userspec="$user" "$root" "$@"';
  return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', root, user, ...command];
}
