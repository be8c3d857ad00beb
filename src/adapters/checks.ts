import type { ErrorCode } from "../errors.js";
import { PeftError } from "../errors.js";
import { pythonPattern } from "./pattern.js";

interface Fault {
  readonly code: ErrorCode;
  readonly what: string;
  readonly why: string;
  readonly fix: string;
}

interface Bounds {
  readonly min?: number;
  readonly max?: number;
}

/**
 * Reads options of unknown provenance (a file, the command line, untyped code) one by one and collects
 * every fault.
 * null counts as not given: Python writes it so. `done` throws PeftError "adapter-config" with all of
 * them at once.
 */
export class OptionReader {
  readonly #name: string;
  readonly #options: Readonly<Record<string, unknown>>;
  readonly #faults: Fault[] = [];

  /** `known`: Python's fields, in snake_case, all of which may be given. */
  constructor(name: string, options: object, known: Readonly<Record<string, unknown>>) {
    this.#name = name;
    this.#options = options as Readonly<Record<string, unknown>>;
    const names = new Set(Object.keys(known).map(camel));
    for (const key of Object.keys(options)) {
      if (names.has(key)) continue;
      this.fault(`${name} has no option "${key}".`, "a misspelt option would be without effect.", {
        fix: `use one of: ${[...names].sort().join(", ")}.`,
      });
    }
  }

  fault(
    what: string,
    why: string,
    { fix, code = "adapter-config" }: { fix: string; code?: ErrorCode },
  ): void {
    this.#faults.push({ what, why, fix, code });
  }

  raw(key: string): unknown {
    return this.#options[key] ?? undefined;
  }

  text(key: string): string | undefined {
    return this.#typed(key, "a string", (x): x is string => typeof x === "string");
  }

  flag(key: string, byDefault: boolean): boolean {
    return this.#typed(key, "true or false", (x): x is boolean => typeof x === "boolean") ?? byDefault;
  }

  number(key: string, bounds: Bounds = {}): number | undefined {
    const x = this.#typed(key, "a finite number", isNumber);
    if (x !== undefined) this.#within(key, x, bounds);
    return x;
  }

  integer(key: string, bounds: Bounds = {}): number | undefined {
    const x = this.#typed(key, "a whole number", isInteger);
    if (x !== undefined) this.#within(key, x, bounds);
    return x;
  }

  /** A probability of dropping an element: in [0, 1). */
  rate(key: string): number {
    const x = this.number(key, { min: 0 }) ?? 0;
    if (x < 1) return x;
    this.fault(`${key} is ${x}.`, "a rate of 1 or more drops everything.", { fix: `${key}: 0.1` });
    return 0;
  }

  choice<T extends string>(key: string, values: readonly T[]): T | undefined {
    const kind = `one of ${values.map((v) => `"${v}"`).join(", ")}`;
    return this.#typed(key, kind, (x): x is T => values.some((v) => v === x));
  }

  oneOf<T extends string>(key: string, values: readonly T[], byDefault: T): T {
    return this.choice<T>(key, values) ?? byDefault;
  }

  names(key: string): readonly string[] | undefined {
    return this.#typed(key, "a list of names", isNames);
  }

  /** One pattern or name, or a list of names. */
  textOrNames(key: string): string | readonly string[] | undefined {
    return this.#typed(
      key,
      "a string or a list of names",
      (x): x is string | string[] => typeof x === "string" || isNames(x),
    );
  }

  integerOrIntegers(key: string): number | readonly number[] | undefined {
    return this.#typed(
      key,
      "a whole number or a list of them, none below 0",
      (x): x is number | number[] => isIndex(x) || isIndices(x),
    );
  }

  ids(key: string): readonly number[] | undefined {
    return this.#typed(key, "a list of token ids", isIndices);
  }

  /** Token ids, or token ids by module name. */
  indices(key: string): readonly number[] | Readonly<Record<string, readonly number[]>> | undefined {
    return this.#typed(
      key,
      "a list of token ids, or token ids by module name",
      (x): x is number[] | Record<string, number[]> =>
        isIndices(x) || (isObject(x) && Object.values(x).every(isIndices)),
    );
  }

  object(key: string): Readonly<Record<string, unknown>> | undefined {
    return this.#typed(key, "an object", isObject);
  }

  /** Numbers by pattern, as rank_pattern. */
  patterns(key: string, what: "whole" | "any"): Readonly<Record<string, number>> {
    const isValue = what === "whole" ? (x: unknown): boolean => isIndex(x) && x > 0 : isNumber;
    const kind = what === "whole" ? "positive whole numbers" : "numbers";
    const found = this.#typed(
      key,
      `${kind} by name`,
      (x): x is Record<string, number> => isObject(x) && Object.values(x).every(isValue),
    );
    for (const pattern of Object.keys(found ?? {})) this.pattern(key, pattern);
    return found ?? {};
  }

  /** Says where a regular expression is none. */
  pattern(key: string, pattern: string): void {
    try {
      pythonPattern(pattern);
    } catch (cause) {
      this.fault(`${key} has the pattern "${pattern}".`, `it is no regular expression (${cause}).`, {
        fix: `write a dot as "\\." and a name as it is: ${key}: "q_proj"`,
      });
    }
  }

  /** Fields of Python's that are not built here: anything but nothing is refused, not ignored. */
  unsupported(keys: readonly string[]): void {
    for (const key of keys) {
      const x = this.raw(key);
      if (
        x === undefined ||
        x === false ||
        x === 0 ||
        (typeof x === "object" && Object.keys(x as object).length === 0)
      ) {
        continue;
      }
      this.fault(
        `${this.#name} has ${key}: ${show(x)}.`,
        "peft.js does not have this variant, and without it the results would differ from Python's.",
        { fix: `leave ${key} out and train anew, or merge the adapter in Python.` },
      );
    }
  }

  done(): void {
    const [first, ...more] = this.#faults;
    if (first === undefined) return;
    const code = more.every((f) => f.code === first.code) ? first.code : "adapter-config";
    const all = (part: "what" | "why" | "fix"): string =>
      [...new Set(this.#faults.map((f) => f[part]))].join(" ");
    throw new PeftError(code, { what: all("what"), why: all("why"), fix: all("fix") });
  }

  #within(
    key: string,
    x: number,
    { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY }: Bounds,
  ): void {
    if (x >= min && x <= max) return;
    const range = max === Number.POSITIVE_INFINITY ? `at least ${min}` : `from ${min} to ${max}`;
    this.fault(`${key} is ${x}.`, `${key} is ${range}.`, { fix: `${key}: ${x < min ? min : max}.` });
  }

  #typed<T>(key: string, kind: string, is: (x: unknown) => x is T): T | undefined {
    const x = this.raw(key);
    if (x === undefined || is(x)) return x;
    this.fault(`${key} is ${show(x)}.`, `${this.#name}'s ${key} is ${kind}.`, { fix: `give ${kind}.` });
    return undefined;
  }
}

/** snake_case of files to the names of options. */
export function camel(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function show(x: unknown): string {
  return JSON.stringify(x) ?? String(x);
}
function isNumber(x: unknown): x is number {
  return typeof x === "number" && Number.isFinite(x);
}
function isInteger(x: unknown): x is number {
  return Number.isSafeInteger(x);
}
function isIndex(x: unknown): x is number {
  return isInteger(x) && x >= 0;
}
function isIndices(x: unknown): x is number[] {
  return Array.isArray(x) && x.every(isIndex);
}
function isNames(x: unknown): x is string[] {
  return Array.isArray(x) && x.every((name) => typeof name === "string");
}
function isObject(x: unknown): x is Record<string, unknown> {
  return typeof x === "object" && x !== null && !Array.isArray(x);
}
