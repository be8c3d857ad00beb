import { Command, CommanderError, Option as Flag } from "commander";
import { PeftError } from "../index.js";
import { alsoCalled, flagName, helpOf, optionKey } from "../options.js";
import { readConfigFile } from "./config.js";
import { inFlags } from "./flags.js";
import { misuse } from "./misuse.js";
import {
  defaultsOf,
  flagOf,
  namesOf,
  type Option,
  type OptionGroup,
  optionsOf,
  Settings,
  type Verb,
} from "./options.js";
import { otherWay } from "./other_names.js";
import { report } from "./report.js";
import type { Terminal } from "./terminal.js";
import { checkValues, textValue } from "./values.js";

/** Options of every command. */
const everywhere: OptionGroup = {
  title: "Everywhere",
  options: [
    {
      key: "config",
      kind: "text",
      value: "FILE",
      help: "options in a JSON or YAML file, by their names in the API or in Python; flags win over it",
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
    .version(about.version, "-v, --version")
    .usage("<command> [options]")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => about.terminal.write(text),
      writeErr: () => {}, // said in our own words, see misuse.ts
    });
  for (const verb of about.verbs)
    addVerb(
      program,
      verb,
      [...verb.groups(argv), everywhere],
      async (settings) => {
        code = await verb.run(settings, about.terminal);
      },
      { argv: argv.slice(1), terminal: about.terminal },
    );
  program.addHelpText(
    "after",
    "\nStart with `peft train`: it needs nothing else. `peft <command> --help` shows all options of a command.",
  );
  try {
    if (argv.length === 0) program.help();
    const words = argv[0] === "version" || argv[0] === "-V" ? ["--version"] : settled(argv, about.verbs);
    await program.parseAsync(words, { from: "user" });
    return code;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    const asked = ["commander.helpDisplayed", "commander.version", "commander.help"].includes(error.code);
    if (asked) return 0;
    const verb = about.verbs.find(({ name }) => name === argv[0]);
    report(misuse(error, verb, about.verbs), inFlags([]), about.terminal);
    return 2;
  }
}

/**
 * Flags under Python's names as ours: `--lora_alpha`. Throws "option" for names that others give to an
 * option.
 */
function settled(argv: readonly string[], verbs: readonly Verb[]): string[] {
  const verb = verbs.find(({ name }) => name === argv[0]);
  const names = namesOf(verb === undefined ? [] : optionsOf(verb, argv));
  const own = new Set(Object.values(names).flatMap((option) => [flagName(option.key), flagOf(option)]));
  return argv.map((word) => {
    const [, flag, rest = ""] = /^--([a-zA-Z][\w-]*)(=.*)?$/s.exec(word) ?? [];
    if (flag === undefined || own.has(`--${flag}`)) return word;
    const key = optionKey(flag.replaceAll("-", "_"), names) ?? optionKey(flag, names);
    if (key !== undefined) return `${flagName(key)}${rest}`;
    const meant = alsoCalled(flag, names);
    const other = meant === undefined ? otherWay(`peft ${argv[0]}`, `--${flag}`) : undefined;
    if (other !== undefined) throw other;
    if (meant === undefined) return word;
    throw new PeftError("option", {
      what: `peft ${argv[0]} has no option --${flag}.`,
      why: `here it is called ${flagName(meant)}.`,
      fix: `use ${flagName(meant)}.`,
    });
  });
}

function addVerb(
  program: Command,
  verb: Verb,
  groups: readonly OptionGroup[],
  run: (settings: Settings) => Promise<void>,
  { argv, terminal }: { argv: readonly string[]; terminal: Terminal },
): void {
  const command = program.command(verb.name).description(verb.summary).exitOverride();
  for (const { name, help } of verb.arguments ?? []) command.argument(name, help);
  for (const { title, options } of groups)
    for (const option of options)
      for (const made of flags(option)) command.addOption(made.helpGroup(`${title}:`));
  command.addHelpText("after", `\nExamples:\n${verb.examples.map((line) => `  ${line}`).join("\n")}`);
  command.configureHelp({ helpWidth: 100, optionDescription: describe, optionTerm: term });
  command.action(async () => {
    const options = [...groups.flatMap((group) => group.options), ...argumentOptions(verb)];
    await run(await settingsOf(command, options, { verb, argv, terminal }));
  });
}

function argumentOptions({ arguments: list = [] }: Verb): Option[] {
  return list.map(({ name, help }) => ({ key: keyOf(name), kind: "text", help }));
}

/** "<repo>" -> "repo" */
function keyOf(argument: string): string {
  return argument.replace(/[<>[\]]/g, "");
}

/** What commander is told of an option: two flags where `--no-` turns it off. */
function flags(option: Option): Flag[] {
  const { kind, choices, value, many, help, isSwitch, isHidden = false } = option;
  const form = value || (choices ? "NAME" : placeholder[kind]);
  const forms = kind === "flag" ? "" : isSwitch === true ? ` [${form}]` : ` <${form}>`;
  const made = new Flag(`${flagOf(option)}${forms}`, help).hideHelp(isHidden);
  if (many === true)
    made.argParser((text: string, before: readonly string[] | undefined) => [...(before ?? []), text]);
  else if (kind !== "flag") made.argParser((text: string) => textValue(option, text));
  const off = isSwitch === true ? [new Flag(flagOf(option).replace("--", "--no-"), help).hideHelp()] : [];
  return [Object.assign(made, { peft: option }), ...off];
}

/** The option that a flag was made of. */
function optionOf(made: Flag): Option | undefined {
  return (made as Flag & { peft?: Option }).peft;
}

/** A flag as help shows it: `--[no-]use-dora`. */
function term(made: Flag): string {
  const option = optionOf(made);
  if (option?.kind !== "byMethod" && option?.isSwitch !== true) return made.flags;
  return option.value === ""
    ? flagOf(option).replace("--", "--[no-]")
    : `${flagOf(option)} <${option.value}>`;
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
  byMethod: "VALUE",
};

function describe(made: Flag): string {
  const option = optionOf(made);
  if (option === undefined) return made.description;
  if (option.row !== undefined) return helpOf(option.row);
  const { byDefault, otherwise, choices, kind } = option;
  const shown = otherwise ?? (byDefault === undefined || kind === "flag" ? undefined : String(byDefault));
  const one = choices === undefined ? "" : ` (${choices.join(", ")})`;
  return `${made.description}${one}${shown === undefined ? "" : ` [default: ${shown}]`}`;
}

/** Flags over the config file. Throws "option". */
async function settingsOf(
  command: Command,
  options: readonly Option[],
  { verb, argv, terminal }: { verb: Verb; argv: readonly string[]; terminal: Terminal },
): Promise<Settings> {
  const flags = new Map(
    options.flatMap(({ key }) => {
      const name = new Flag(flagName(key)).attributeName(); // applyGs of applyGS
      return command.getOptionValueSource(name) === "cli"
        ? [[key, command.getOptionValue(name)] as const]
        : [];
    }),
  );
  for (const [i, { name }] of (verb.arguments ?? []).entries())
    if (command.args[i] !== undefined) flags.set(keyOf(name), command.args[i]);
  const path = flags.get("config");
  const file = path === undefined ? new Map() : await readConfigFile(String(path), options, terminal);
  const given = new Map<string, unknown>([...file, ...flags]);
  for (const key of ["config"]) given.delete(key);
  checkValues(given, options);
  return new Settings(given, defaultsOf(options), inFlags(options), argv);
}
