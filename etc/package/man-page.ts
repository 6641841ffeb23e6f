/** The manual page registry-token(1): the help of each command, set in roff. */
import { CONTINUATION, type DescribedCommand, OPTION_LINE } from './commands.ts';
import type { Release } from './release.ts';

/** One page with all commands. Its date is that of the commit. */
export function renderManPage(commands: readonly DescribedCommand[], release: Release): string {
  const date = new Date(release.epoch * 1000).toISOString().slice(0, 10);
  const lines = [
    `.TH REGISTRY\\-TOKEN 1 ${date} "registry\\-token ${text(release.version)}" "User Commands"`,
    '.SH NAME',
    'registry\\-token \\- token service for Docker and OCI registries, with sender\\-constrained access tokens',
    '.SH SYNOPSIS',
    '.B registry\\-token',
    '.I command',
    '.RI [ options ]',
    '.SH DESCRIPTION',
    'Checks an OAuth 2.0 access token that is bound to its sender by DPoP (RFC 9449) or by mTLS (RFC 8705), and issues',
    'the short\\-lived token that a registry verifies offline.',
    'Results go to standard output, everything else to standard error.',
    '.SH COMMANDS',
    ...commands.flatMap(({ name, summary }) => ['.TP', `.B ${text(name)}`, text(summary)]),
    ...commands.flatMap(({ name, help }) => [
      `.SH REGISTRY\\-TOKEN ${text(name.toUpperCase())}`,
      ...body(help),
    ]),
    '.SH EXIT STATUS',
    '0 success, 1 failure, 2 usage, 78 configuration.',
    '.SH FILES',
    '.TP',
    '.I /etc/registry\\-token/registry\\-token.yaml',
    'The configuration, where neither \\-\\-config nor REGISTRY_TOKEN_CONFIG names another and there is no',
    'etc/registry\\-token.yaml in the working directory.',
    '.TP',
    '.I ~/.config/registry\\-token/client.yaml',
    'The profiles of the clients, else',
    '.IR /etc/registry\\-token/client.yaml .',
  ];
  return `${lines.join('\n')}\n`;
}

/** Options become a list, flush text is filled, everything else keeps its lines. */
function body(help: string): string[] {
  const lines: string[] = [];
  let kept = false;
  const keep = (wanted: boolean) => {
    // A paragraph begins by itself after a heading.
    if (kept !== wanted) lines.push(...(wanted ? (lines.length === 0 ? ['.nf'] : ['.PP', '.nf']) : ['.fi']));
    kept = wanted;
  };
  let isUsage = false;
  let inOption = false;
  let isNewParagraph = false;
  for (const line of help.trimEnd().split('\n')) {
    const [, names, begun] = OPTION_LINE.exec(line) ?? [];
    const more: string | undefined = inOption ? CONTINUATION.exec(line)?.[1] : undefined;
    inOption = names !== undefined || more !== undefined;
    isUsage = line.startsWith('Usage: ') || (isUsage && line !== '');
    if (line === '') {
      keep(false);
      isNewParagraph = true;
      continue;
    }
    if (names !== undefined && !isUsage) {
      keep(false);
      lines.push('.TP', `.B ${text(names)}`, ...(begun === undefined ? [] : [text(begun)]));
    } else if (more !== undefined) lines.push(text(more));
    else {
      keep(isUsage || line.startsWith(' '));
      if (isNewParagraph && !kept) lines.push('.PP');
      lines.push(text(line));
    }
    isNewParagraph = false;
  }
  keep(false);
  return lines;
}

/** Text as roff takes it literally. */
function text(line: string): string {
  return line
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^(\s*)([.'])/, '$1\\&$2');
}
