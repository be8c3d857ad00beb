import {
  type AdapterConfig,
  type Method,
  type MethodRow,
  methods,
  PeftError,
  type Tokenizer,
} from "../index.js";
import { alsoCalled, faultOf, flagName, formOf, helpOf, readText } from "../options.js";
import { FlagText, type Option, type OptionGroup, type Settings } from "./options.js";

type Rows = Readonly<Record<string, MethodRow>>;

const known: WeakMap<Method, Rows> = new WeakMap();

/** A method's options that the command line has. */
function rowsOf(method: Method): Rows {
  const rows =
    known.get(method) ??
    Object.fromEntries(Object.entries(method.config.options).filter(([, row]) => row.fileOnly !== true));
  known.set(method, rows);
  return rows;
}

const methodNamed = (name: string | undefined): Method | undefined => methods.find((m) => m.name === name);

/** The method that a command line names: help shows its options. */
function methodIn(argv: readonly string[], byDefault: string): Method {
  const at = argv.findLastIndex((word) => /^--method(=|$)/.test(word));
  const name = argv[at]?.split("=")[1] ?? argv[at + 1];
  return methodNamed(at < 0 ? byDefault : name) ?? methodNamed(byDefault)!;
}

/**
 * `--method` and the flags of every method, each once; help shows those of the method that the command line
 * names.
 */
export function methodGroups(argv: readonly string[], byDefault = "lora"): OptionGroup[] {
  const chosen = methodIn(argv, byDefault);
  const rows = rowsOf(chosen);
  const method: Option = {
    key: "method",
    kind: "text",
    help: "how to fine-tune",
    choices: methods.map((m) => m.name),
    byDefault,
  };
  const shown = Object.entries(rows).map(([key, row]) => methodFlag(key, row));
  const others = allKeys().filter((key) => !Object.hasOwn(rows, key));
  return [
    { title: "Method", options: [method] },
    {
      title: `Options of --method ${chosen.name} (another's: --method NAME --help; all: docs/methods.md)`,
      options: [
        ...shown,
        ...others.map((key) => ({ ...methodFlag(key, methodRows(key)[0]!), isHidden: true as const })),
      ],
    },
  ];
}

function methodFlag(key: string, row: MethodRow): Option {
  const { python, also } = row;
  return {
    ...{ key, kind: "byMethod", help: helpOf(row), value: formOf(row) },
    ...(python === undefined ? {} : { python }),
    ...(also === undefined ? {} : { also }),
    ...(methods.some((m) => rowsOf(m)[key]?.kind === "flag") ? { isSwitch: true as const } : {}),
  };
}

/** Names of the options of all methods. */
function allKeys(): string[] {
  return [...new Set(methods.flatMap((m) => Object.keys(rowsOf(m))))];
}

/** What methods take under a name. */
export function methodRows(key: string): MethodRow[] {
  return methods.flatMap((m) => rowsOf(m)[key] ?? []);
}

/**
 * The settings with the options of their method read as it has them. Throws "option" for those of another,
 * and for wrong values.
 */
export function withMethod(settings: Settings): Settings {
  const method = methodNamed(settings.text("method"))!;
  const rows = rowsOf(method);
  const foreign = allKeys().filter((key) => settings.isGiven(key) && !Object.hasOwn(rows, key));
  if (foreign.length > 0) throw foreignOptions(method, foreign);
  const given = Object.keys(rows).filter((key) => settings.isGiven(key));
  const values = new Map(
    given.map((key) => {
      const value = settings.get(key);
      return [key, value instanceof FlagText ? readText(rows[key]!, value.text) : value] as const;
    }),
  );
  const wrong = given.flatMap((key) => {
    const words = faultOf(rows[key]!, values.get(key));
    return words === undefined
      ? []
      : [{ flag: flagName(key), form: formOf(rows[key]!), value: values.get(key), words }];
  });
  if (wrong.length === 0) return settings.with(values);
  throw new PeftError("option", {
    what: wrong.map(({ flag, value }) => `${flag} is ${JSON.stringify(value)}.`).join(" "),
    why: wrong.map(({ flag, words }) => `${flag} of ${method.name} is ${words}.`).join(" "),
    fix: `write ${wrong.map(({ flag, form }) => `${flag} ${form}`.trim()).join(", ")}.`,
  });
}

function foreignOptions(method: Method, foreign: readonly string[]): PeftError {
  const having = (key: string): string[] => methods.filter((m) => key in rowsOf(m)).map((m) => m.name);
  const rows = rowsOf(method);
  const meant = foreign.flatMap((key) => {
    const other = alsoCalled(key, rows);
    return other === undefined ? [] : [`use ${flagName(other)} for ${flagName(key)}`];
  });
  const names = having(foreign[0]!);
  return new PeftError("option", {
    what: `The method ${method.name} has no option ${foreign.map(flagName).join(", ")}.`,
    why: foreign.map((key) => `${flagName(key)} is an option of ${having(key).join(", ")}.`).join(" "),
    fix:
      meant.length > 0
        ? `${meant.join(", ")}.`
        : `leave it out, or choose --method ${names.includes("lora") ? "lora" : names[0]}.`,
  });
}

/** The adapter's config out of settings that `withMethod` read. Throws the config's own faults. */
export function methodConfig(settings: Settings, tokenizer?: Tokenizer): AdapterConfig {
  const { config } = methodNamed(settings.text("method"))!;
  const given = settings.pickGiven(Object.keys(config.options));
  return config.create({ ...addedTokens(settings, tokenizer, config.options), ...given });
}

/** LoRA trains the rows of tokens that are added, where nothing else is said of them. */
function addedTokens(settings: Settings, tokenizer: Tokenizer | undefined, options: object): object {
  const isSaid = settings.isGiven("modulesToSave") || !("trainableTokenIndices" in options);
  const ids = settings.list("addTokens").flatMap((token) => tokenizer?.convertTokensToIds(token) ?? []);
  return isSaid || ids.length === 0 ? {} : { trainableTokenIndices: ids };
}

/** Whether some method has an option of this name. */
export function isMethodOption(key: string): boolean {
  return allKeys().includes(key);
}

/** Keys of the settings that make the method. */
export function methodKeys(settings: Settings): string[] {
  return ["method", ...allKeys().filter((key) => settings.isGiven(key))];
}
