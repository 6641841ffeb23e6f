/** The completions, asked by the shells themselves, against the help of the commands. */
import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { describeCommands } from '../../etc/package/commands.ts';
import { renderBash, renderFish, renderZsh } from '../../etc/package/completions.ts';
import { describeWith } from '../support/debian-parts.ts';
import { readSources } from '../support/imports.ts';
import { createTemporaryFolder, run, runOrFail } from '../support/processes.ts';

setDefaultTimeout(60_000);

const commands = await describeCommands();
const names = commands.map(({ name }) => name).sort();
const folder = await createTemporaryFolder();
afterAll(() => folder[Symbol.asyncDispose]());

await Bun.write(folder.at('registry-token.bash'), renderBash(commands));
await Bun.write(folder.at('zsh/_registry-token'), renderZsh(commands));
await Bun.write(folder.at('registry-token.fish'), renderFish(commands));

/** What a command offers after its name: its options, --help, and its words. */
const offeredBy = ({ options, words }: (typeof commands)[number]) =>
  [...options.map(({ name }) => name), '--help', ...words].sort();

describe('the commands as packages describe them', () => {
  test('are those of the program, each option that a source reads among them', () => {
    const sources = readSources('src/cli');
    for (const { name, options } of commands) {
      const text =
        sources.find(({ path }) => path === `src/cli/${name}.ts` || path === `src/cli/client/${name}.ts`)
          ?.text ?? '';
      const read = [...text.matchAll(/^\s+'?([a-z-]+)'?: \{ type: '(string|boolean)'/gm)];
      for (const [, option = '', type] of read) {
        const described = options.find((candidate) => candidate.name === `--${option}`);
        expect(`${name} --${option} ${described === undefined ? 'is not described' : 'is described'}`).toBe(
          `${name} --${option} is described`,
        );
        expect([name, option, described?.value === null ? 'boolean' : 'string']).toEqual([
          name,
          option,
          type ?? '',
        ]);
      }
    }
    expect(names).toContain('serve');
  });

  test('have a line of their own for each option, whose every value and word comes from the help', () => {
    const keygen = commands.find(({ name }) => name === 'keygen');
    expect(keygen?.options.find(({ name }) => name === '--out')).toEqual({
      name: '--out',
      value: 'DIR',
      description: 'where to write',
    });
    const helper = commands.find(({ name }) => name === 'docker-credential');
    expect(helper?.words).toEqual(['get', 'list', 'store', 'erase', 'version']);
  });
});

describeWith(['bash'], 'bash completes', () => {
  const complete = async (...words: string[]) => {
    const script = `source ${folder.at('registry-token.bash')}
      COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _registry_token; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const text = await runOrFail(['bash', '-uc', script, 'bash', 'registry-token', ...words], {
      cwd: folder.path,
    });
    return text.trim().split('\n').sort();
  };

  test('the commands', async () => {
    expect(await complete('')).toEqual(['--help', ...names]);
    expect(await complete('ke')).toEqual(['keygen']);
  });

  test.each(commands.map((command) => [command.name, command] as const))(
    'the options of %s',
    async (name, command) => {
      expect(await complete(name, '')).toEqual(offeredBy(command));
    },
  );

  test('files where an option takes one, and nothing where it takes something else', async () => {
    expect(await complete('serve', '--config', 'registry-token.b')).toEqual(['registry-token.bash']);
    expect(await complete('keygen', '--out', 'z')).toEqual(['zsh']);
    expect(await complete('keygen', '--days', '')).toEqual(['']);
  });
});

describeWith(['fish'], 'fish completes', () => {
  const complete = async (line: string) => {
    const script = `source ${folder.at('registry-token.fish')}; complete -C '${line}'`;
    const text = await runOrFail(['fish', '--no-config', '-c', script], {
      cwd: folder.path,
      env: { HOME: folder.path },
    });
    return text
      .trim()
      .split('\n')
      .map((found) => found.split('\t', 1).join(''))
      .sort();
  };

  test('the commands', async () => {
    expect(await complete('registry-token ')).toEqual(names);
  });

  test.each(commands.map((command) => [command.name, command] as const))(
    'the options of %s',
    async (name, command) => {
      const options = await complete(`registry-token ${name} --`);
      const words = command.words.length === 0 ? [] : await complete(`registry-token ${name} `);
      expect([...options, ...words].sort()).toEqual(offeredBy(command));
    },
  );

  test('files where an option takes one', async () => {
    expect(await complete('registry-token serve --config registry-token.b')).toEqual(['registry-token.bash']);
  });
});

describeWith(['zsh'], 'zsh completes', () => {
  // zsh completes in its line editor alone: a second zsh, on a terminal of the first.
  const script = `zmodload zsh/zpty; zpty z zsh -f -i
    zpty -w z "fpath=($1 \\$fpath); PS1='READY> '; COLUMNS=200; autoload -Uz compinit; compinit -u -D; bindkey '^I' list-choices; echo IN''IT"
    zpty -r z out '*INIT*READY> '
    zpty -w -n z "$2"$'\\t'
    zpty -w -n z $'\\x15'"echo D''ONE"$'\\n'
    zpty -r z out '*DONE*'
    print -r -- "$out"; zpty -d z`;
  /** The screen with what is offered. */
  const complete = async (line: string) =>
    (
      await run(['zsh', '-f', '-c', script, 'zsh', folder.at('zsh'), line], {
        timeoutMs: 20_000,
        env: { TERM: 'dumb', HOME: folder.path },
      })
    ).stdout;

  test('the commands with what they do', async () => {
    const screen = await complete('registry-token ');
    for (const name of names) expect(screen).toMatch(new RegExp(`^${name} +-- `, 'm'));
  });

  test.each(
    commands.filter(({ options }) => options.length > 0).map((command) => [command.name, command] as const),
  )('the options of %s', async (name, { options }) => {
    const all = [...options.map((option) => option.name), '--help'].sort();
    const screen = await complete(`registry-token ${name} --`);
    for (const option of all) expect(screen).toMatch(new RegExp(`\\s${option}\\s`));
  });
});
