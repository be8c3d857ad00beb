import { PeftError } from "../index.js";
import { nearest } from "../nearest.js";
import { flagName, meantOption } from "../options.js";
import { namesOf, optionsOf, type Verb } from "./options.js";

/** What the parser of the command line found. */
interface Misread {
  readonly code: string;
  readonly message: string;
}

/** A command line that cannot be read, in the three parts of an error. `verb`: the command that it names. */
export function misuse(
  { code, message }: Misread,
  verb: Verb | undefined,
  verbs: readonly Verb[],
): PeftError {
  const [, quoted = ""] = /'([^']*)'/.exec(message) ?? [];
  const [flag = "", form = "VALUE"] = quoted.split(/[ =]/);
  const command = verb === undefined ? "peft" : `peft ${verb.name}`;
  if (code === "commander.unknownOption") return unknownFlag(flag, command, verb, verbs);
  if (code === "commander.unknownCommand") return unknownCommand(quoted, verbs);
  const shown = `\`${command} --help\` shows what it takes.`;
  if (code === "commander.optionMissingArgument")
    return wrong(`${flag} has no value.`, shown, `write ${flag} ${form.replace(/[<>[\]]/g, "")}.`);
  const list = (verb?.arguments ?? []).map(({ name }) => name).join(" ");
  if (code === "commander.missingArgument")
    return wrong(`No ${quoted} is given.`, shown, `write ${command} ${list}.`);
  if (code === "commander.excessArguments")
    return wrong(
      `${command} got words that belong to no option.`,
      list === "" ? "all that it takes are options." : `beside its options it takes ${list}.`,
      "leave them out, or put a value that has spaces into quotes.",
    );
  return wrong(message.replace(/^error: /, ""), shown, "correct the command line.");
}

function unknownFlag(
  flag: string,
  command: string,
  verb: Verb | undefined,
  verbs: readonly Verb[],
): PeftError {
  const names = namesOf(verb === undefined ? [] : optionsOf(verb));
  const key = meantOption(flag.replace(/^-+(no-)?/, ""), names);
  const having = verbs.filter((other) => optionsOf(other).some((option) => flagName(option.key) === flag));
  return wrong(
    `${command} has no option ${flag}.`,
    having.length > 0
      ? `it is one of ${having.map(({ name }) => `peft ${name}`).join(", ")}.`
      : `\`${command} --help\` shows all that it has.`,
    key === undefined ? "leave it out." : `use ${flagName(key)}.`,
  );
}

function unknownCommand(name: string, verbs: readonly Verb[]): PeftError {
  const names = verbs.map((verb) => verb.name);
  const meant = nearest(name, names);
  return wrong(
    `peft has no command ${JSON.stringify(name)}.`,
    `its commands are ${names.join(", ")}.`,
    meant === undefined ? "use one of them." : `use peft ${meant}.`,
  );
}

function wrong(what: string, why: string, fix: string): PeftError {
  return new PeftError("option", { what, why, fix });
}
