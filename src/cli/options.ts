import { isOneOf } from "../narrow.js";
import { defaultText, flagName, formOf, type OptionRow } from "../options.js";
import type { ShowOption } from "../words.js";
import type { Terminal } from "./terminal.js";

/** What a value is: decides how its text on the command line is read, and what a config file may hold. */
export type OptionKind =
  | "text"
  | "number"
  | "whole"
  | "flag"
  /** Words between commas. */
  | "names"
  /** Names, or a regular expression, or "all-linear". */
  | "targets"
  /** One number, or several between commas. */
  | "numberOrNumbers"
  | "numbers"
  /** `q_proj=4,v_proj=8`, or JSON. */
  | "map"
  | "json"
  /** JSON where it is some, else text. */
  | "value"
  /** Read once the method is known: one name may be a number for one method and a word for another. */
  | "byMethod";

/** The text of a flag that is not read yet. */
export class FlagText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** One option: a flag of the command line, a key of a config file, a name of the API. */
export interface Option {
  /** camelCase, as the API has it; the flag is the same in kebab-case. */
  readonly key: string;
  readonly kind: OptionKind;
  readonly help: string;
  /** The API's own name, where it is another one: errors name it. */
  readonly api?: string;
  /**
   * Where it stands in the API's table: what it takes is read and checked by that, and help says what that
   * says.
   */
  readonly row?: OptionRow;
  /** Taken where nothing is given. */
  readonly byDefault?: unknown;
  /** The default in words, where it is found out later. */
  readonly otherwise?: string;
  readonly choices?: readonly string[];
  /** What stands for the value in help: FILE. */
  readonly value?: string;
  /** May be given more than once. */
  readonly many?: true;
  /** Python's name, where it is not the key in snake_case. */
  readonly python?: string;
  /** Names that others give it: refused, and told which is meant. */
  readonly also?: readonly string[];
  /** Its value may be left out, and `--no-` turns it off. */
  readonly isSwitch?: true;
  /** Help does not show it. */
  readonly isHidden?: true;
}

export interface OptionGroup {
  readonly title: string;
  readonly options: readonly Option[];
}

export interface Argument {
  readonly name: string;
  readonly help: string;
}

/** One command of `peft`: parse, call, print. Returns an exit code. */
export interface Verb {
  readonly name: string;
  readonly summary: string;
  readonly examples: readonly string[];
  readonly arguments?: readonly Argument[];
  /** May depend on the rest of the command line. */
  readonly groups: (argv: readonly string[]) => readonly OptionGroup[];
  readonly run: (settings: Settings, terminal: Terminal) => Promise<number>;
}

/** The options of one run, checked: flags over the config file over defaults. */
export class Settings {
  readonly #given: ReadonlyMap<string, unknown>;
  readonly #defaults: ReadonlyMap<string, unknown>;
  /** How messages name options: as flags of this command. */
  readonly show: ShowOption;
  /** The words of the command line after the command's name; of settings that are made none. */
  readonly argv: readonly string[];

  constructor(
    given: ReadonlyMap<string, unknown>,
    defaults: ReadonlyMap<string, unknown>,
    show: ShowOption,
    argv: readonly string[] = [],
  ) {
    this.#given = given;
    this.#defaults = defaults;
    this.show = show;
    this.argv = argv;
  }

  /** Whether the user said something. */
  isGiven(key: string): boolean {
    return this.#given.has(key);
  }
  get(key: string): unknown {
    return this.#given.get(key) ?? this.#defaults.get(key);
  }
  text(key: string): string | undefined {
    const value = this.get(key);
    return typeof value === "string" ? value : undefined;
  }
  /** One of these names: others were refused before. */
  oneOf<K extends string>(key: string, names: readonly K[]): K | undefined {
    const value = this.get(key);
    return isOneOf(value, names) ? value : undefined;
  }
  number(key: string): number | undefined {
    const value = this.get(key);
    return typeof value === "number" ? value : undefined;
  }
  flag(key: string): boolean {
    return this.get(key) === true;
  }
  list(key: string): readonly string[] {
    const value = this.get(key);
    return [value].flat().filter((item) => typeof item === "string");
  }
  /** Those of these keys that have a value, as an object for the API. */
  pick(keys: readonly string[]): Record<string, unknown> {
    return Object.fromEntries(
      keys.flatMap((key) => (this.get(key) === undefined ? [] : [[key, this.get(key)]])),
    );
  }
  /** What the user gave of these keys. */
  pickGiven(keys: readonly string[]): Record<string, unknown> {
    return Object.fromEntries(keys.flatMap((key) => (this.isGiven(key) ? [[key, this.get(key)]] : [])));
  }
  /** The same with other values for what was given. */
  with(values: ReadonlyMap<string, unknown>, argv: readonly string[] = this.argv): Settings {
    return new Settings(new Map([...this.#given, ...values]), this.#defaults, this.show, argv);
  }
  /** The same with values under what was given. */
  over(base: Readonly<Record<string, unknown>>): Settings {
    const given = new Map([...Object.entries(base), ...this.#given]);
    return new Settings(given, this.#defaults, this.show, this.argv);
  }
}

/** An option of the API as an option of the command line. */
export function rowOption(key: string, row: OptionRow): Option {
  const { means: help, byDefault, python, also, kind } = row;
  const otherwise = defaultText(row);
  return {
    ...{ key, kind: "value", help, value: formOf(row), row },
    ...(byDefault === undefined ? {} : { byDefault }),
    ...(otherwise === undefined ? {} : { otherwise }),
    ...(python === undefined ? {} : { python }),
    ...(also === undefined ? {} : { also }),
    ...(kind === "flag" ? { isSwitch: true as const } : {}),
  };
}

/** Defaults by key. */
export function defaultsOf(options: readonly Option[]): Map<string, unknown> {
  return new Map(
    options.flatMap(({ key, byDefault }) => (byDefault === undefined ? [] : [[key, byDefault] as const])),
  );
}

/** The options of a command, on this command line. */
export function optionsOf(verb: Verb, argv: readonly string[] = []): readonly Option[] {
  return verb.groups(argv).flatMap((group) => group.options);
}

/** Groups of another command without options that mean nothing here, and with a group of this one's own. */
export function groupsWithout(
  groups: readonly OptionGroup[],
  leftOut: ReadonlySet<string>,
  own: OptionGroup,
): readonly OptionGroup[] {
  const taken = new Set(own.options.map(({ key }) => key));
  const kept = groups.map(({ title, options }) => ({
    title,
    options: options.filter(({ key }) => !leftOut.has(key) && !taken.has(key)),
  }));
  return [...kept.filter(({ options }) => options.length > 0), own];
}

/** The options by their keys, for what is asked about their names. */
export function namesOf(options: readonly Option[]): Readonly<Record<string, Option>> {
  return Object.fromEntries(options.map((option) => [option.key, option]));
}

/** The flag of an option: `--lora-alpha`; `--no-shuffle` where it is on by default. */
export function flagOf({ key, kind, byDefault }: Pick<Option, "key" | "kind" | "byDefault">): string {
  const name = flagName(key);
  return kind === "flag" && byDefault === true ? name.replace("--", "--no-") : name;
}
