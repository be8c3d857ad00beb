import type { Words } from "./words.js";

/**
 * What acts on a terminal, or turns the reading direction round, in place of showing: C0 (but tabs and ends
 * of lines), DEL and C1, line separators, and the marks that override, embed or isolate a direction.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const ACTING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** A text that may be printed: what would act on the terminal is shown as `\x1b` or `\u202e`. */
export function printable(text: string): string {
  return text.replace(ACTING, (character) => {
    const code = character.charCodeAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`;
  });
}

/** Where warnings go unless told otherwise. */
export function warnOnConsole(message: string | Words): void {
  console.warn(printable(`${message}`));
}
