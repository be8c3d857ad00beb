import { PeftError } from "../index.js";
import { flagOf, type Option, optionsOf, type Settings, type Verb } from "./options.js";
import type { Terminal } from "./terminal.js";

/** `peft completion`: knows the other commands and their options. */
export function completion(verbs: readonly Verb[]): Verb {
  return {
    name: "completion",
    summary: "Write a script by which bash, zsh or fish completes commands, options and their values.",
    examples: [
      'eval "$(peft completion bash)"',
      "peft completion fish > ~/.config/fish/completions/peft.fish",
    ],
    arguments: [{ name: "<shell>", help: Object.keys(shells).join(", ") }],
    groups: () => [],
    run: async (settings: Settings, terminal: Terminal) => {
      const shell = settings.text("shell") ?? "";
      const write = Object.entries(shells).find(([name]) => name === shell)?.[1];
      if (write === undefined) throw unknownShell(shell);
      for (const line of write(verbs)) terminal.print(line);
      return 0;
    },
  };
}

type Script = (verbs: readonly Verb[]) => string[];

/** What is offered after `peft VERB --flag`; "" : files. */
const words = (option: Option): string => (option.choices ?? option.row?.choices ?? []).join(" ");

const flags = (verb: Verb): string[] => ["--help", "--config", ...optionsOf(verb).map(flagOf)];

const bash: Script = (verbs) => [
  "_peft() {",
  '  local now="$2" before="$3" words=""',
  `  if [ "$COMP_CWORD" = 1 ]; then words="${verbs.map(({ name }) => name).join(" ")}"`,
  '  else case "$' + "{COMP_WORDS[1]} $before" + '" in',
  ...verbs.flatMap((verb) =>
    optionsOf(verb)
      .filter((option) => words(option) !== "")
      .map((option) => `    "${verb.name} ${flagOf(option)}") words="${words(option)}";;`),
  ),
  "    *)",
  '      case "$now $' + "{COMP_WORDS[1]}" + '" in',
  ...verbs.map((verb) => `        -*" ${verb.name}") words="${flags(verb).join(" ")}";;`),
  "      esac;;",
  "  esac; fi",
  '  if [ -n "$words" ]; then COMPREPLY=($(compgen -W "$words" -- "$now")); else COMPREPLY=($(compgen -f -- "$now")); fi',
  "}",
  "complete -F _peft peft",
];

const zsh: Script = (verbs) => ["autoload -U +X bashcompinit && bashcompinit", ...bash(verbs)];

const fish: Script = (verbs) => [
  "complete -c peft -f -n __fish_use_subcommand",
  ...verbs.map(
    ({ name, summary }) => `complete -c peft -f -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`,
  ),
  ...verbs.flatMap((verb) =>
    optionsOf(verb).map((option) => {
      const values = words(option);
      const takes = option.kind === "flag" ? "" : values === "" ? " -r" : ` -x -a ${quoted(values)}`;
      const flag = flagOf(option).replace("--", "");
      return `complete -c peft -n '__fish_seen_subcommand_from ${verb.name}' -l ${flag}${takes} -d ${quoted(option.help)}`;
    }),
  ),
];

const shells: Readonly<Record<string, Script>> = { bash, zsh, fish };

const quoted = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;

function unknownShell(shell: string): PeftError {
  return new PeftError("option", {
    what: `"${shell}" is no shell that completion is written for.`,
    why: `it is written for ${Object.keys(shells).join(", ")}.`,
    fix: "write peft completion bash.",
  });
}
