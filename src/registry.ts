import { PeftError } from "./errors.js";

/**
 * Definitions of one kind, each found by its names: those that ship, and those that are registered from
 * outside.
 */
export class Registry<D> {
  readonly #kind: string;
  readonly #namesOf: (definition: D) => readonly unknown[];
  readonly #all: D[];

  /** @param kind what a definition is, in a word: "method" */
  constructor(kind: string, shipped: readonly D[], namesOf: (definition: D) => readonly unknown[]) {
    this.#kind = kind;
    this.#all = [...shipped];
    this.#namesOf = namesOf;
  }

  get all(): readonly D[] {
    return this.#all;
  }

  find(name: unknown): D | undefined {
    return this.#all.find((definition) => this.#namesOf(definition).includes(name));
  }

  /** Throws "registered" for a name that another definition has, "option" for a definition without names. */
  register(definition: D): void {
    const names = this.#namesOf(definition);
    if (names.length === 0 || names.some((name) => typeof name !== "string" || name === ""))
      throw new PeftError("option", {
        what: `This ${this.#kind} has no name: ${JSON.stringify(names)}.`,
        why: `${this.#kind}s are found by their names, which are texts.`,
        fix: `give it names that no other ${this.#kind} has.`,
      });
    const taken = names.filter((name) => this.find(name) !== undefined);
    if (taken.length === 0) this.#all.push(definition);
    else
      throw new PeftError("registered", {
        what: `There is a ${this.#kind} named ${taken.map((name) => JSON.stringify(name)).join(", ")} already.`,
        why: "a file that says this name could mean either of the two.",
        fix: "register it once, under a name of its own.",
      });
  }
}
