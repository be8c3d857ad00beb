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

/**
 * An error that teaches: what went wrong (quoting the user's value), why (the fact that makes it wrong) and what to type.
 * All faults of one kind are reported at once.
 */
export class PeftError extends Error {
  readonly code: ErrorCode;
  readonly what: string;
  readonly why: string;
  readonly fix: string;
  constructor(code: ErrorCode, parts: { what: string; why: string; fix: string; cause?: unknown }) {
    super(
      `PeftError [${code}]: ${parts.what} why: ${parts.why} fix: ${parts.fix}`,
      parts.cause === undefined ? undefined : { cause: parts.cause },
    );
    this.name = "PeftError";
    this.code = code;
    this.what = parts.what;
    this.why = parts.why;
    this.fix = parts.fix;
  }
}

/** Our own bug: a state that no input of a user should reach. */
export function internal(message: string): never {
  throw new PeftError("internal", {
    what: `internal: ${message}`,
    why: "an invariant of peft.js does not hold.",
    fix: "please report this with the command or code that led here.",
  });
}
