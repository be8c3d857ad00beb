import { inCode, type ShowOption, type Words, words } from "./words.js";

/** Codes of every error a user can meet; `internal:` messages are our own bugs. */
export type ErrorCode =
  | "adapter-targets"
  | "adapter-config"
  | "adapter-mismatch"
  | "adapter-name"
  | "unknown-model"
  | "unknown-method"
  | "unknown-task"
  | "option"
  | "registered"
  | "batch"
  | "checkpoint"
  | "file-format"
  | "hub"
  | "tokenizer"
  | "data"
  | "generation"
  | "training"
  | "engine"
  | "output"
  | "aborted"
  | "internal";

/** The three parts of an error. */
export interface ErrorParts<T = string> {
  readonly what: T;
  readonly why: T;
  readonly fix: T;
}

/**
 * An error that teaches: what went wrong (quoting the user's value), why (the fact that makes it wrong) and
 * what to type. All faults of one kind are reported at once.
 */
export class PeftError extends Error {
  readonly code: ErrorCode;
  readonly what: string;
  readonly why: string;
  readonly fix: string;
  readonly #parts: ErrorParts<string | Words>;
  constructor(code: ErrorCode, parts: ErrorParts<string | Words> & { cause?: unknown }) {
    const { what, why, fix } = shown(parts, inCode);
    const { cause } = parts;
    super(`[${code}] ${what} why: ${why} fix: ${fix}`, cause === undefined ? undefined : { cause });
    this.name = "PeftError";
    // Node prints the stack of what nobody caught: its first line has the name once.
    if (this.stack !== undefined) this.stack = this.stack.replace(/^\w*Error: (\[.*?\])/, "PeftError $1:");
    this.code = code;
    this.what = what;
    this.why = why;
    this.fix = fix;
    this.#parts = parts;
  }

  /** The parts with their options apart, for an error that says more. */
  get parts(): ErrorParts<string | Words> {
    return this.#parts;
  }

  /** The parts with options named as `show` has it: the command line names flags. */
  told(show: ShowOption): ErrorParts {
    return shown(this.#parts, show);
  }
}

/** Runs something with what a file says: its faults name the file, and options as `show` has them. */
export function namingFile<T>(path: string, run: () => T, show?: ShowOption): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof PeftError) || error.code === "internal") throw error;
    const said = (part: string | Words): Words =>
      show === undefined ? words`${part}` : words`${part}`.named(show);
    const { what, why, fix } = error.parts;
    throw new PeftError(error.code, {
      what: words`"${path}": ${said(what)}`,
      why: said(why),
      fix: said(fix),
      cause: error.cause ?? error,
    });
  }
}

function shown({ what, why, fix }: ErrorParts<string | Words>, show: ShowOption): ErrorParts {
  const text = (part: string | Words): string => words`${part}`.shown(show);
  return { what: text(what), why: text(why), fix: text(fix) };
}

/** Our own bug: a state that no input of a user should reach. */
export function internal(message: string): never {
  throw new PeftError("internal", {
    what: `internal: ${message}`,
    why: "an invariant of peft.js does not hold.",
    fix: "please report this with the command or code that led here.",
  });
}
