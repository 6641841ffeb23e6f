/** The list of revoked licences, one a line. What looks like another format is a mistake: it would revoke nothing. */

export interface RevocationList {
  readonly licenses: ReadonlySet<string>;
  /** Whether a line says `# empty`: the list is meant to have no licence. */
  readonly saysEmpty: boolean;
  /** Those that were found first. */
  readonly faults: readonly RevocationListFault[];
}

export interface RevocationListFault {
  /** From 1. */
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/** Lines are read in groups of so many, each a millisecond or so. */
const GROUP = 5000;
/** A list in another format has a fault in every line. */
const MOST_FAULTS = 10;
/** A line that is a licence, as nearly all are: ASCII without what no licence holds. */
const LICENSE = /^[!$-&(-+\-.-:<-_a-~]+$/;
/** What no licence holds: it is there where a line is a comment, CSV, YAML, or quoted. */
const FOREIGN = /[\s"'`,;#\p{Cc}\ufffd]/u;

/**
 * Reads a list: a licence a line, with any line ends. Blanks around a licence, blank lines and lines that begin with `#`
 * do not count. `pause` is awaited now and then, so that a long list does not delay requests.
 */
export async function readRevocationList(
  text: string,
  pause: () => Promise<unknown>,
): Promise<RevocationList> {
  const licenses = new Set<string>();
  const faults: RevocationListFault[] = [];
  let saysEmpty = false;
  // A plain text as separator is much faster.
  const lines = text.split(text.includes('\r') ? /\r\n|[\r\n]/ : '\n');
  for (let index = 0; index < lines.length; index += 1) {
    if (index % GROUP === GROUP - 1) await pause();
    const line = lines[index] ?? '';
    if (LICENSE.test(line)) {
      licenses.add(line);
      continue;
    }
    const license = line.trim();
    if (license === '') continue;
    if (license.startsWith('#')) {
      saysEmpty ||= /^#\s*empty$/i.test(license);
      continue;
    }
    const at = license.search(FOREIGN);
    if (at === -1) licenses.add(license);
    else if (faults.length < MOST_FAULTS) {
      const found = JSON.stringify(license.charAt(at));
      const message = `is not a licence: it has ${found} in it. Write one licence a line, and comments on lines of their own`;
      faults.push({ line: index + 1, column: line.indexOf(license) + at + 1, message });
    }
  }
  if (text !== '' && !/[\r\n]$/.test(text))
    faults.push({
      line: lines.length,
      column: (lines.at(-1) ?? '').length + 1,
      message: 'the last line has no line end; is the file whole?',
    });
  return { licenses, saysEmpty, faults };
}
