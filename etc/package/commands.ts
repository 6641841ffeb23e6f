/**
 * The commands as the program itself tells of them: `--help` is read, so that the manual page and the completions
 * say what it says.
 */
import { runTool } from './tool.ts';

export interface CommandOption {
  /** With its dashes: `--config`. */
  readonly name: string;
  /** The placeholder of its value, `FILE` for one; null where it has none. */
  readonly value: string | null;
  /** One line. */
  readonly description: string;
}

export interface DescribedCommand {
  readonly name: string;
  readonly summary: string;
  readonly help: string;
  readonly options: readonly CommandOption[];
  /** Words of which it takes one: `get`, `list`. */
  readonly words: readonly string[];
}

/** A line of a help text that describes options: `  --cert FILE, --key FILE   its certificate`. */
export const OPTION_LINE =
  /^ {2}(--[a-z][a-z-]*(?: [A-Z][^\s,]*)?(?:, --[a-z][a-z-]*(?: [A-Z][^\s,]*)?)*)(?:\s+(.*))?$/;

/** Where the description of an option goes on in the next line. */
export const CONTINUATION = /^ {10,}(\S.*)$/;

/** Asks the program in `src` for its commands and the help of each. */
export async function describeCommands(): Promise<readonly DescribedCommand[]> {
  const overview = await helpOf([]);
  const listed = [...overview.matchAll(/^ {2}([a-z-]+) {2,}(\S.*)$/gm)];
  if (listed.length === 0) throw new Error('registry-token --help lists no commands.');
  const commands = await Promise.all(
    listed.map(async ([, name = '', summary = '']) => {
      const help = await helpOf([name]);
      return { name, summary, help, options: optionsOf(help), words: wordsOf(help) };
    }),
  );
  // What one command leaves to its usage line, another describes: --config.
  const described = commands
    .flatMap(({ options }) => options)
    .filter(({ description }) => description !== '');
  const describe = (option: CommandOption) =>
    option.description !== '' ? option : (described.find(({ name }) => name === option.name) ?? option);
  return commands.map((command) => ({ ...command, options: command.options.map(describe) }));
}

function helpOf(words: readonly string[]): Promise<string> {
  return runTool([process.execPath, 'run', 'src/main.ts', ...words, '--help'], {
    failure: 'The help of the commands cannot be read',
  });
}

/** The options that a help text describes, each once; then those that its usage alone names. */
export function optionsOf(help: string): readonly CommandOption[] {
  const options = new Map<string, CommandOption>();
  const lines = help.split('\n');
  for (const [index, line] of lines.entries()) {
    const [, names, begun] = OPTION_LINE.exec(line) ?? [];
    if (names === undefined) continue;
    const description = begun ?? CONTINUATION.exec(lines[index + 1] ?? '')?.[1] ?? '';
    for (const part of names.split(', ')) {
      const [name = '', value = null] = part.split(' ');
      if (!options.has(name)) options.set(name, { name, value, description: firstClause(description) });
    }
  }
  const usage = /^Usage: [\s\S]*?\n\n/.exec(help)?.[0] ?? '';
  for (const [, name = '', value = null] of usage.matchAll(/(--[a-z][a-z-]*)(?: ([^\s[\]()|]+))?/g))
    if (!options.has(name)) options.set(name, { name, value, description: '' });
  return [...options.values()];
}

/** What fits beside an option in a menu. */
function firstClause(description: string): string {
  return description.split(/[;:.](?: |$)/, 1).join('');
}

/** `(get | list)` of a usage line, where these are words and not options. */
function wordsOf(help: string): readonly string[] {
  const [, choice] = /^(?:Usage:)? .*\(([a-z]+(?: \| [a-z]+)+)\)/m.exec(help) ?? [];
  return choice?.split(' | ') ?? [];
}
