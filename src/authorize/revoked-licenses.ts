/** The list of revoked licences. */

/** Lines are read in groups of so many, each a millisecond or so. */
const GROUP = 5000;

/**
 * Reads a list: a licence a line; blank lines and what comes after a `#` do not count, where the `#` begins the line or
 * follows a space. `pause` is awaited now and then, so that a long list does not delay requests.
 */
export async function readRevokedLicenses(
  text: string,
  pause: () => Promise<unknown>,
): Promise<ReadonlySet<string>> {
  const licenses = new Set<string>();
  for (const [index, line] of text.split('\n').entries()) {
    if (index % GROUP === GROUP - 1) await pause();
    const license = line.replace(/(?:^|\s)#.*/, '').trim();
    if (license !== '') licenses.add(license);
  }
  return licenses;
}
