/** An option that a message names, and the value to give it, if one is named. */
export interface NamedOption {
  readonly name: string;
  readonly value?: unknown;
  /** What code has there, where it is no option: the path that a function takes. */
  readonly code?: string;
  /** What the command line has there, where it has no flag for it. */
  readonly line?: string;
}

/** How an option is shown: `maxLength: 128` in code, `--max-length 128` on the command line. */
export type ShowOption = (option: NamedOption) => string;

/** A message's text with its options kept apart, because code and command line name them differently. */
export class Words {
  readonly #pieces: readonly (string | NamedOption)[];
  constructor(pieces: readonly (string | NamedOption)[]) {
    this.#pieces = pieces;
  }

  shown(show: ShowOption): string {
    return this.#pieces.map((piece) => (typeof piece === "string" ? piece : show(piece))).join("");
  }

  /** The same with its options named; what is said to code alone stays apart. */
  named(show: ShowOption): Words {
    return new Words(
      this.#pieces.map((piece) =>
        typeof piece === "string" || piece.line !== undefined ? piece : show(piece),
      ),
    );
  }

  /** As code names options: where words become a plain string, nothing is wrong, only less is known. */
  toString(): string {
    return this.shown(inCode);
  }

  /** Events that hold words are logged as JSON. */
  toJSON(): string {
    return this.toString();
  }

  static of(values: readonly unknown[]): Words {
    return new Words(values.flatMap((value) => (value instanceof Words ? value.#pieces : [String(value)])));
  }
}

/** A text that may name options: words`raise ${option("maxLength")}.` */
export function words(strings: TemplateStringsArray, ...values: readonly unknown[]): Words {
  return Words.of(strings.flatMap((text, i) => (i < values.length ? [text, values[i]] : [text])));
}

/** An option by its name in code, and a value for it; or what code has in its place. */
export function option(name: string, value?: unknown, code?: string): Words {
  return new Words([{ name, value, ...(code === undefined ? {} : { code }) }]);
}

/** What is said to those who write code alone, and to those at the command line in its place. */
export function toCode(code: string, line = ""): Words {
  return new Words([{ name: "", code, line }]);
}

/** Several texts as one. */
export function joined(texts: readonly (string | Words)[], separator = ", "): Words {
  return Words.of(texts.flatMap((text, i) => (i === 0 ? [text] : [separator, text])));
}

/** `maxLength`, or `maxLength: 128`. */
export function inCode({ name, value, code }: NamedOption): string {
  if (code !== undefined) return code;
  return value === undefined ? name : `${name}: ${literal(value)}`;
}

function literal(value: unknown): string {
  if (typeof value !== "object" || value === null)
    return typeof value === "string" ? JSON.stringify(value) : String(value);
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  const fields = Object.entries(value).map(([name, item]) => inCode({ name, value: item }));
  return `{ ${fields.join(", ")} }`;
}
