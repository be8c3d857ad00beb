/** What went wrong in a template: its syntax, a step of it, its own raise_exception, or the budget. */
export type FaultKind = "syntax" | "runtime" | "raised" | "budget";

export class TemplateFault extends Error {
  readonly kind: FaultKind;
  /** The line of the template, from 1; set where it is known. */
  line: number | undefined;
  constructor(kind: FaultKind, message: string, line?: number) {
    super(message);
    this.kind = kind;
    this.line = line;
  }
}

/** An error that Python would raise: its type and message. */
export function raise(type: string, message: string): never {
  throw new TemplateFault("runtime", `${type}: ${message}`);
}
