import type { Command } from 'commander';
import { UsageError } from './errors.ts';

/** Words that may follow each command, as `command words` lines made from the commands themselves. */
const words = (command: Command, path: string[] = []): [string, string[]][] => {
  const own = [...command.commands.map((c) => c.name()), ...command.options.flatMap((o) => (o.long ? [o.long] : []))];
  return [[path.join(' '), own], ...command.commands.flatMap((c) => words(c, [...path, c.name()]))];
};

const bash = (program: Command): string => `# chrysalis completion for bash: source <(chrysalis completion bash)
_chrysalis() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" path="" w
  for w in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do [[ $w == -* ]] || path="\${path:+$path }$w"; done
  local global="${program.options.flatMap((o) => (o.long ? [o.long] : [])).join(' ')}"
  case "$path" in
${words(program)
  .slice(1)
  .map(
    ([path, list]) =>
      `    "${path}"*) [[ "$path" == "${path}" || "${list.some((l) => !l.startsWith('-'))}" == false ]] && COMPREPLY=($(compgen -W "${list.join(' ')} $global" -- "$cur")) ;;`,
  )
  .sort((a, b) => b.indexOf('"*)') - a.indexOf('"*)'))
  .join('\n')}
    *) COMPREPLY=($(compgen -W "${program.commands.map((c) => c.name()).join(' ')} $global" -- "$cur")) ;;
  esac
}
complete -F _chrysalis chrysalis`;

const fish = (program: Command): string =>
  words(program)
    .flatMap(([path, list]) => {
      const parts = path.split(' ').filter(Boolean);
      const condition = parts.length === 0 ? '__fish_use_subcommand' : parts.map((p) => `__fish_seen_subcommand_from ${p}`).join('; and ');
      return list.map((w) =>
        w.startsWith('--')
          ? `complete -c chrysalis -n '${condition}' -l ${w.slice(2)}`
          : `complete -c chrysalis -f -n '${condition}' -a ${w}`,
      );
    })
    .join('\n');

export const completion = (program: Command, shell: string): string => {
  if (shell === 'bash') return bash(program);
  if (shell === 'zsh') return `autoload -U +X bashcompinit && bashcompinit\n${bash(program)}`;
  if (shell === 'fish') return fish(program);
  throw new UsageError(`no completion for ${shell}: one of bash, zsh, fish`);
};
