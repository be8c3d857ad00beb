import { PeftError } from "../index.js";
import { data } from "./data.js";
import { evaluation } from "./eval.js";
import { inFlags } from "./flags.js";
import { generate } from "./generate.js";
import { info } from "./info.js";
import { merge } from "./merge.js";
import { type Option, optionsOf } from "./options.js";
import { runProgram } from "./program.js";
import { push } from "./push.js";
import { nodeTerminal, type Terminal } from "./terminal.js";
import { train } from "./train.js";

/** The command line. Returns the exit code: 1 after an error, 2 where the command cannot be understood, 130 after Ctrl-C. */
export async function main(argv: readonly string[], terminal: Terminal = nodeTerminal()): Promise<number> {
  const verbs = [train, generate, evaluation, merge, info, data, push];
  try {
    const { version } = JSON.parse(await terminal.readFile(terminal.packagePath("package.json")));
    return await runProgram(argv, { version, verbs, terminal });
  } catch (error) {
    const verb = verbs.find(({ name }) => name === argv[0]);
    return report(error, verb === undefined ? [] : optionsOf(verb, argv), terminal, argv.includes("--debug"));
  }
}

/** What, why, fix: a line each, with options as flags. The stack is for those who ask. */
function report(error: unknown, options: readonly Option[], { note }: Terminal, debug: boolean): number {
  if (error instanceof PeftError) {
    const { what, why, fix } = error.told(inFlags(options));
    const indented = (text: string): string => text.replaceAll("\n", "\n       "); // no text of a file looks like a line of ours
    note(`error: ${indented(what)}`);
    note(`why:   ${indented(why)}`);
    note(`fix:   ${indented(fix)}`);
  } else {
    note(`error: ${error instanceof Error ? error.message : String(error)}`);
    note("why:   this was not foreseen: it is a bug of peft.js, or of what it runs on.");
    note("fix:   run it again with --debug and report what it prints.");
  }
  if (debug && error instanceof Error) note(`\n${error.stack ?? ""}`);
  return error instanceof PeftError && error.code === "aborted" ? 130 : 1;
}
