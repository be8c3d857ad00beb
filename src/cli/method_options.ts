import { type AdapterConfig, type Method, methods, PeftError } from "../index.js";
import { flagOf, type Option, type OptionGroup, type OptionKind, type Settings } from "./options.js";

/**
 * Fields that are said elsewhere: by the model, the task, or where an adapter is loaded; and OFT's eps, which is only recorded and would
 * be taken for the optimizer's.
 */
const elsewhere = new Set(["taskType", "baseModelNameOrPath", "revision", "inferenceMode", "eps"]);

/**
 * What a config class says that a field takes, in its own words: it is asked by giving it NaN, which no field takes.
 * undefined: the field is only recorded, or not built.
 */
function wordsFor(method: Method, key: string): string | undefined {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0; // hundreds of errors, of which the words are read
  try {
    method.create({ [key]: Number.NaN });
    return undefined;
  } catch (error) {
    if (!(error instanceof PeftError) || !error.what.startsWith(`${key} is `)) return undefined;
    return error.why.replace(new RegExp(`^\\w+'s ${key} is |^it is `), "").replace(/\.$/, "");
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** From the words of a check to how a flag's text is read; the first that fits. */
const kindsByWords: readonly (readonly [RegExp, OptionKind])[] = [
  [/^true or false$/, "flag"],
  [/list of token ids/, "numbers"],
  [/ by name/, "map"],
  [/a string or a list of names/, "targets"],
  [/a list of names/, "names"],
  [/number or a list/, "numberOrNumbers"],
  [/number/, "number"],
  [/^a list/, "numbers"],
  [/^an object/, "json"],
  [/^one of|^a string|^a text/, "text"],
];

export function kindByWords(words: string): OptionKind {
  return kindsByWords.find(([form]) => form.test(words))?.[1] ?? "value";
}

interface MethodOption extends Option {
  readonly methods: readonly string[];
}

let all: MethodOption[] | undefined;

/** The options of every method, once each, with the methods that have them. */
function methodOptions(): MethodOption[] {
  all ??= askMethods();
  return all;
}

function askMethods(): MethodOption[] {
  const found = new Map<string, MethodOption>();
  for (const method of methods) {
    const byDefault = method.create({}) as unknown as Readonly<Record<string, unknown>>;
    for (const field of Object.keys(method.fields)) {
      const key = camel(field);
      const words = elsewhere.has(key) ? undefined : wordsFor(method, key);
      if (words === undefined) continue;
      const known = found.get(key);
      const option = describe(key, words, byDefault[key]);
      const both = known === undefined ? option : merged(known, option);
      found.set(key, { ...both, methods: [...(known?.methods ?? []), method.name] });
    }
  }
  return [...found.values()];
}

/** What two methods say of an option of one name. */
function merged(a: Option, b: Option): Option {
  if (a.kind === "json") return b; // which singular values AdaLoRA left, where others have ranks by name
  const sameKind = a.kind === b.kind;
  if (sameKind && a.help === b.help && a.otherwise === b.otherwise && a.byDefault === b.byDefault) return a;
  const help = sameKind && a.help === b.help ? a.help : `${a.help.replace(BY_METHOD, "")}${BY_METHOD}`;
  return { key: a.key, kind: sameKind ? a.kind : "value", help, otherwise: "as the method has it" };
}

const BY_METHOD = ", or as the method has it";

/** The default is shown only: the config class fills it in. Flags that are on by default are told by it. */
function describe(key: string, words: string, value: unknown): Option {
  const kind = kindByWords(words);
  if (kind === "flag" && value === true) return { key, kind, help: `turn ${key} off`, byDefault: true };
  if (kind === "flag") return { key, kind, help: `turn ${key} on` };
  if (value === undefined) return { key, kind, help: words };
  return { key, kind, help: words, otherwise: JSON.stringify(value).replaceAll('"', "") };
}

/** Flags of all methods, grouped by the methods that have them. */
export function methodGroups(): OptionGroup[] {
  const titles = new Map<string, Option[]>();
  for (const { methods: names, ...option } of methodOptions()) {
    const isMost = names.length > methods.length / 3;
    const title = isMost ? "Options of most methods" : `Options of --method ${names.join(", ")}`;
    titles.set(title, [...(titles.get(title) ?? []), option]);
  }
  return [...titles].map(([title, options]) => ({ title, options }));
}

export const methodOption = (byDefault?: string): Option => ({
  key: "method",
  kind: "text",
  help: "how to fine-tune",
  choices: methods.map((m) => m.name),
  ...(byDefault === undefined ? {} : { byDefault }),
});

/** The adapter's config out of the settings. Throws "option" for options of another method, and the config's own faults. */
export function methodConfig(settings: Settings): AdapterConfig {
  const name = settings.text("method");
  const method = methods.find((m) => m.name === name)!;
  const options = methodOptions();
  const foreign = options.filter((o) => settings.isGiven(o.key) && !o.methods.includes(method.name));
  if (foreign.length > 0) {
    const having = foreign[0]!.methods;
    const says = foreign.map((o) => `${flagOf(o)} is an option of ${o.methods.join(", ")}.`);
    throw new PeftError("option", {
      what: `The method ${method.name} has no option ${foreign.map(flagOf).join(", ")}.`,
      why: says.join(" "),
      fix: `leave it out, or choose --method ${having.includes("lora") ? "lora" : having[0]}.`,
    });
  }
  return method.create(settings.pickGiven(options.map((o) => o.key)));
}

/** Whether some method has an option of this name. */
export function isMethodOption(key: string): boolean {
  return methodOptions().some((option) => option.key === key);
}

/** Keys of the settings that make the method. */
export function methodKeys(settings: Settings): string[] {
  return ["method", ...methodOptions().flatMap(({ key }) => (settings.isGiven(key) ? [key] : []))];
}

function camel(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
