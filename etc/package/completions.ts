/** Completions for bash, zsh and fish: the commands, their options, and files where a value is one. */
import type { CommandOption, DescribedCommand } from './commands.ts';

type ValueKind = 'none' | 'file' | 'folder' | 'other';

function kindOf({ value }: CommandOption): ValueKind {
  if (value === null) return 'none';
  if (value === 'FILE') return 'file';
  return value === 'DIR' ? 'folder' : 'other';
}

const HELP: CommandOption = { name: '--help', value: null, description: 'explains the command' };

/** For bash 4 and newer, without the bash-completion library. */
export function renderBash(commands: readonly DescribedCommand[]): string {
  const cases = commands.map(({ name, options, words }) => {
    const all = [...options, HELP];
    const of = (kind: ValueKind) =>
      all.filter((option) => kindOf(option) === kind).map((option) => option.name);
    const offered = [...words, ...all.map((option) => option.name)].join(' ');
    return `    ${name}) offered='${offered}' files='${of('file').join(' ')}' folders='${of('folder').join(' ')}' values='${of('other').join(' ')}' ;;`;
  });
  return `# bash completion for registry-token
_registry_token() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]}
  local offered='' files='' folders='' values=''
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W '${commands.map(({ name }) => name).join(' ')} --help' -- "$current")
    return
  fi
  case \${COMP_WORDS[1]} in
${cases.join('\n')}
  esac
  case " $files " in *" $previous "*)
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
    return ;;
  esac
  case " $folders " in *" $previous "*)
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -d -- "$current")
    return ;;
  esac
  case " $values " in *" $previous "*) return ;; esac
  mapfile -t COMPREPLY < <(compgen -W "$offered" -- "$current")
}
complete -F _registry_token registry-token
`;
}

/** For zsh, as a file of fpath. */
export function renderZsh(commands: readonly DescribedCommand[]): string {
  const listed = commands.map(({ name, summary }) => `    ${quote(`${name}:${summary}`)}`);
  const cases = commands.map(({ name, options, words }) => {
    const all = [...options, HELP].map((option) => `        ${quote(zshOption(option))}`);
    const chosen = words.length === 0 ? [] : [`        ${quote(`1:action:(${words.join(' ')})`)}`];
    return `      ${name})\n        _arguments \\\n${[...all, ...chosen].join(' \\\n')}\n        ;;`;
  });
  return `#compdef registry-token
_registry-token() {
  local curcontext="$curcontext" state
  local -a commands
  commands=(
${listed.join('\n')}
  )
  _arguments -C '1:command:->command' '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument)
      case $words[1] in
${cases.join('\n')}
      esac
      ;;
  esac
}
_registry-token "$@"
`;
}

/** Any option may be repeated: the program says where one must not. */
function zshOption(option: CommandOption): string {
  const plain = option.description.replace(/[[\]\\]/g, '').replaceAll(':', '\\:');
  const described = `*${option.name}[${plain}]`;
  const value = (option.value ?? '').replaceAll(':', '\\:');
  switch (kindOf(option)) {
    case 'none':
      return described;
    case 'file':
      return `${described}:${value}:_files`;
    case 'folder':
      return `${described}:${value}:_files -/`;
    case 'other':
      return `${described}:${value}: `;
  }
}

/** For fish 3 and newer. */
export function renderFish(commands: readonly DescribedCommand[]): string {
  const complete = 'complete -c registry-token';
  const lines = commands.flatMap(({ name, summary, options, words }) => {
    const here = `${complete} -n '__fish_seen_subcommand_from ${name}'`;
    return [
      `${complete} -n __fish_use_subcommand -a ${name} -d ${quoteFish(summary)}`,
      ...words.map((word) => `${here} -a ${word}`),
      ...[...options, HELP].map((option) => `${here} -l ${option.name.slice(2)}${fishValue(option)}`),
    ];
  });
  return `# fish completion for registry-token\n${complete} -f\n${lines.join('\n')}\n`;
}

function fishValue(option: CommandOption): string {
  const value = { none: '', file: ' -r -F', folder: " -x -a '(__fish_complete_directories)'", other: ' -x' };
  const { description } = option;
  return `${value[kindOf(option)]}${description === '' ? '' : ` -d ${quoteFish(description)}`}`;
}

/** Bourne shells: a quote inside ends the word, is given escaped, and begins it again. */
function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

function quoteFish(word: string): string {
  return `'${word.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
