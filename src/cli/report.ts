import { PeftError, type ShowOption } from "../index.js";
import type { Terminal } from "./terminal.js";

/** Says an error: what, why, fix, a line each, with options as `show` has them. */
export function report(error: unknown, show: ShowOption, { note }: Pick<Terminal, "note">): void {
  if (error instanceof PeftError) {
    const { what, why, fix } = error.told(show);
    const indented = (text: string): string => text.replaceAll("\n", "\n       "); // no text of a file looks like a line of ours
    note(`error: ${indented(what)}`);
    note(`why:   ${indented(why)}`);
    note(`fix:   ${indented(fix)}`);
  } else {
    note(`error: ${error instanceof Error ? error.message : String(error)}`);
    note("why:   this was not foreseen: it is a bug of peft.js, or of what it runs on.");
    note("fix:   run it again with --debug and report what it prints.");
  }
}
