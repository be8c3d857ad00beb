import { PeftError } from "../../errors.js";
import { isWhole } from "../../narrow.js";

/** The fields of a preprocessor_config.json, each checked when it is read; null counts as absent. */
export class Settings {
  readonly json: Readonly<Record<string, unknown>>;
  readonly #at: string;

  /** @param at the file's path, for messages */
  constructor(json: Readonly<Record<string, unknown>>, at: string) {
    this.json = json;
    this.#at = at;
  }

  /** A whole number from `least` to `most`. */
  whole(key: string, fallback: number, least: number, most: number): number {
    const is = (x: unknown): x is number => isWhole(x) && x >= least && x <= most;
    return this.#read(key, fallback, is, `a whole number from ${least} to ${most}`);
  }

  number(key: string, fallback: number): number {
    const is = (x: unknown): x is number => typeof x === "number" && Number.isFinite(x);
    return this.#read(key, fallback, is, "a number");
  }

  flag(key: string, fallback: boolean): boolean {
    return this.#read(key, fallback, (x) => typeof x === "boolean", "true or false");
  }

  side(key: string): "left" | "right" {
    const is = (x: unknown): x is "left" | "right" => x === "left" || x === "right";
    return this.#read(key, "right", is, '"left" or "right"');
  }

  #read<T>(key: string, fallback: T, is: (value: unknown) => value is T, wants: string): T {
    const value = this.json[key] ?? fallback;
    if (is(value)) return value;
    throw new PeftError("file-format", {
      what: `"${this.#at}" says "${key}": ${JSON.stringify(value)}.`,
      why: `${wants} is read there.`,
      fix: "correct this field, or take the file from the model's repository again.",
    });
  }
}
