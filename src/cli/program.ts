import { Command, CommanderError, Option as Flag } from "commander";
import { readConfigFile } from "./config.js";
import {
  defaultsOf,
  flagOf,
  type Option,
  type OptionGroup,
  optionsOf,
  Settings,
  type Verb,
} from "./options.js";
import type { Terminal } from "./terminal.js";
import { checkValues, readText } from "./values.js";

/** Options of every command. */
const everywhere: OptionGroup = {
  title: "Everywhere",
  options: [
    {
      key: "config",
      kind: "text",
      value: "FILE",
      help: "options in a JSON or YAML file, by their camelCase names; flags win over it",
    },
    { key: "debug", kind: "flag", help: "show where an error comes from" },
  ],
};

/** Parses the command line and runs the command. Returns the exit code; 2: it cannot be understood. */
export async function runProgram(
  argv: readonly string[],
  about: { version: string; verbs: readonly Verb[]; terminal: Terminal },
): Promise<number> {
  let code = 0;
  const program = new Command("peft")
    .description("Fine-tune transformer models, on the hardware you have.")
    .version(about.version)
    .usage("<command> [options]")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => about.terminal.write(text),
      writeErr: (text) => about.terminal.note(text.trimEnd()),
    });
  for (const verb of about.verbs)
    addVerb(
      program,
      verb,
      async (settings) => {
        code = await verb.run(settings, about.terminal);
      },
      about.terminal,
    );
  program.addHelpText(
    "after",
    "\nStart with `peft train`: it needs nothing else. `peft <command> --help` shows all options of a command.",
  );
  try {
    if (argv.length === 0) program.help();
    await program.parseAsync(argv, { from: "user" });
    return code;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    const asked = ["commander.helpDisplayed", "commander.version", "commander.help"].includes(error.code);
    return asked ? 0 : 2;
  }
}

function addVerb(
  program: Command,
  verb: Verb,
  run: (settings: Settings) => Promise<void>,
  terminal: Terminal,
): void {
  const command = program.command(verb.name).description(verb.summary).exitOverride();
  for (const { name, help } of verb.arguments ?? []) command.argument(name, help);
  const groups = [...verb.groups, everywhere];
  for (const { title, options } of groups)
    for (const option of options) command.addOption(flag(option).helpGroup(`${title}:`));
  command.addHelpText("after", `\nExamples:\n${verb.examples.map((line) => `  ${line}`).join("\n")}`);
  command.configureHelp({ helpWidth: 100, optionDescription: describe });
  command.action(async () => {
    const options = [...optionsOf(verb), ...argumentOptions(verb), ...everywhere.options];
    await run(await settingsOf(command, options, verb, terminal));
  });
}

function argumentOptions({ arguments: list = [] }: Verb): Option[] {
  return list.map(({ name, help }) => ({ key: keyOf(name), kind: "text", help }));
}

/** "<repo>" -> "repo" */
function keyOf(argument: string): string {
  return argument.replace(/[<>[\]]/g, "");
}

function flag(option: Option): Flag {
  const { kind, choices, value, many, help } = option;
  const name = value ?? (choices ? "NAME" : placeholder[kind]);
  const made = new Flag(kind === "flag" ? flagOf(option) : `${flagOf(option)} <${name}>`, help);
  if (many === true)
    made.argParser((text: string, before: readonly string[] | undefined) => [...(before ?? []), text]);
  else if (kind !== "flag") made.argParser((text: string) => readText[kind](text));
  return Object.assign(made, { peft: option });
}

const placeholder: { readonly [K in Option["kind"]]: string } = {
  text: "TEXT",
  number: "N",
  whole: "N",
  flag: "",
  names: "A,B",
  targets: "A,B|REGEX",
  numberOrNumbers: "N,N",
  numbers: "N,N",
  map: "A=N,B=N",
  json: "JSON",
  value: "VALUE",
};

function describe(made: Flag): string {
  const option = (made as Flag & { peft?: Option }).peft;
  if (option === undefined) return made.description;
  const { byDefault, otherwise, choices, kind } = option;
  const shown = otherwise ?? (byDefault === undefined || kind === "flag" ? undefined : String(byDefault));
  const one = choices === undefined ? "" : ` (${choices.join(", ")})`;
  return `${made.description}${one}${shown === undefined ? "" : ` [default: ${shown}]`}`;
}

/** Flags over the config file. Throws "option". */
async function settingsOf(
  command: Command,
  options: readonly Option[],
  verb: Verb,
  terminal: Terminal,
): Promise<Settings> {
  const flags = new Map(
    Object.entries(command.opts()).filter(([key]) => command.getOptionValueSource(key) === "cli"),
  );
  for (const [i, { name }] of (verb.arguments ?? []).entries())
    if (command.args[i] !== undefined) flags.set(keyOf(name), command.args[i]);
  const path = flags.get("config");
  const file = path === undefined ? new Map() : await readConfigFile(path as string, options, terminal);
  const given = new Map<string, unknown>([...file, ...flags]);
  for (const key of ["config"]) given.delete(key);
  checkValues(given, options);
  return new Settings(given, defaultsOf(options));
}
