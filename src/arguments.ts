import { PeftError } from "./errors.js";
import { isRecord } from "./narrow.js";
import { hintsFor, type OptionNames } from "./options.js";

/**
 * The names of an options object, each with what else it is called; total, so that a new option does not
 * compile without its name.
 */
export type NamesOf<T> = { readonly [K in keyof T]-?: OptionNames };

/**
 * Throws "option" for options that a call does not have, all at once, with those that are meant. `call` is as
 * users write it.
 */
export function refuseUnknown(
  call: string,
  given: object,
  names: Readonly<Record<string, OptionNames>>,
): void {
  const unknown = Object.keys(given).filter((name) => !Object.hasOwn(names, name));
  if (unknown.length === 0) return;
  throw new PeftError("option", {
    what: `${call} has no option ${unknown.map((name) => `"${name}"`).join(", ")}.`,
    why: `its options are ${Object.keys(names).join(", ")}.`,
    fix: hintsFor(unknown, names),
  });
}

/** The options of these names, for a call that has fewer. */
export function pickOptions<T extends object, K extends keyof T>(
  given: T,
  names: { readonly [P in K]: OptionNames },
): Pick<T, K> {
  const picked = Object.entries(given).filter(([name]) => Object.hasOwn(names, name));
  return Object.fromEntries(picked) as Pick<T, K>;
}

/** What an argument should be. */
export interface Wanted {
  readonly is: boolean;
  /** "a model that PeftModel or AutoModelFor... gave" */
  readonly wants: string;
  readonly fix: string;
}

/** Throws "option" where an argument is of another kind; one that is a promise was not awaited. */
export function expectArgument(call: string, value: unknown, { is, wants, fix }: Wanted): void {
  if (is) return;
  const isPromise = isRecord(value) && typeof value["then"] === "function";
  throw new PeftError("option", {
    what: `${call} got ${isPromise ? "a promise" : shown(value)} in place of ${wants}.`,
    why: isPromise ? "what makes it was not awaited." : "it can do nothing with that.",
    fix: isPromise ? "write await before the call that gives it." : fix,
  });
}

/** Throws "option" where the name of a model, adapter or tokenizer is no text. */
export function expectName(call: string, name: unknown): void {
  expectArgument(call, name, {
    is: typeof name === "string",
    wants: "a folder or a Hub id",
    fix: `name one: ${call}("HuggingFaceTB/SmolLM2-135M").`,
  });
}

function shown(value: unknown): string {
  if (value === undefined || value === null) return `${value}`;
  if (typeof value === "string") return `the text ${JSON.stringify(value.slice(0, 60))}`;
  if (Array.isArray(value))
    return value.length === 0 ? "an empty list" : `a list (of ${shown(value[0])}, ...)`;
  if (typeof value !== "object")
    return typeof value === "function" ? "a function" : `${typeof value} ${value}`;
  const name = value.constructor?.name ?? "Object";
  return name === "Object" ? `an object with ${Object.keys(value).slice(0, 6).join(", ")}` : `a ${name}`;
}
