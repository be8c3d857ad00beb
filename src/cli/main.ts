import { PeftError } from "../index.js";
import { data } from "./data.js";
import { evaluation } from "./eval.js";
import { generate } from "./generate.js";
import { info } from "./info.js";
import { merge } from "./merge.js";
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
    return report(error, terminal, argv.includes("--debug"));
  }
}

/** What, why, fix: a line each. The stack is for those who ask. */
function report(error: unknown, { note }: Terminal, debug: boolean): number {
  if (error instanceof PeftError) {
    note(`error: ${error.what}`);
    note(`why:   ${error.why}`);
    note(`fix:   ${error.fix}`);
  } else {
    note(`error: ${error instanceof Error ? error.message : String(error)}`);
    note("why:   this was not foreseen: it is a bug of peft.js, or of what it runs on.");
    note("fix:   run it again with --debug and report what it prints.");
  }
  if (debug && error instanceof Error) note(`\n${error.stack ?? ""}`);
  return error instanceof PeftError && error.code === "aborted" ? 130 : 1;
}
