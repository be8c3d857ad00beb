import { PeftError } from "../errors.js";
import type { Budget, Match, Pattern } from "../python_re/pattern.js";
import { newBudget, PatternBudget, PatternError, pythonPattern } from "../python_re/pattern.js";
import { option, words } from "../words.js";

/** A regular expression out of a config. Its questions throw "adapter-config" where they take too long. */
export type ConfigPattern = Pick<Pattern, "match" | "fullMatch">;

/**
 * Compiles what Python makes of a config's regular expression. Throws "adapter-config" where Python throws
 * re.error.
 * @param written what stands in the config
 * @param compose what Python puts around it
 */
export function configPattern(
  written: string,
  field: string,
  compose: (written: string) => string = (same) => same,
  budget: Budget = newBudget(),
): ConfigPattern {
  const whole = compose(written);
  const compiled = refusing(written, field, whole, () => pythonPattern(whole, budget));
  const ask = (how: "match" | "fullMatch", path: string): Match | undefined =>
    refusing(written, field, whole, () => compiled[how](path));
  return { match: (path) => ask("match", path), fullMatch: (path) => ask("fullMatch", path) };
}

function refusing<T>(written: string, field: string, whole: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    const what = words`${option(field)} has the pattern "${written}".`;
    if (cause instanceof PatternBudget)
      throw new PeftError("adapter-config", {
        what,
        why: `it takes more than ${cause.steps} steps on this model's names: repetitions in repetitions, such as (a+)+, try every way to part a name.`,
        fix: "write it without repetitions of repetitions, or list the names.",
        cause,
      });
    if (!(cause instanceof PatternError)) throw cause;
    throw new PeftError("adapter-config", {
      what,
      why: `Python reads it as "${whole}", which is no regular expression: ${cause.message}.`,
      fix: 'a dot is "\\.", a name is written as it is, and flags hold in groups: "(?i:q_proj)".',
      cause,
    });
  }
}

/** How a method finds a layer's value in a table by pattern. */
export type PatternForm = "dotted or whole" | "dotted" | "anywhere";
const compositions: { readonly [F in PatternForm]: (pattern: string) => string } = {
  /** rank_pattern and alpha_pattern. Reference: peft/utils/other.py get_pattern_key */
  "dotted or whole": (pattern) => `(.*\\.)?(${pattern})$`,
  /** FourierFT and C3A: a whole path is found by its name alone. Reference: peft/tuners/fourierft/model.py */
  dotted: (pattern) => `.*\\.${pattern}$`,
  /** OSF: re.search. Reference: peft/tuners/osf/model.py */
  anywhere: (pattern) => `.*(${pattern})`,
};

/** A table's patterns, which share one budget, and what was found by them: layers ask in every run. */
interface Compiled {
  readonly patterns: readonly (readonly [pattern: string, compiled: ConfigPattern])[];
  readonly keys: Map<string, string>;
}

const compiledTables: WeakMap<object, Compiled> = new WeakMap();

function compiledTable(table: Readonly<Record<string, unknown>>, form: PatternForm, field: string): Compiled {
  const known = compiledTables.get(table);
  if (known !== undefined) return known;
  const budget = newBudget();
  const patterns = Object.keys(table).map(
    (pattern) => [pattern, configPattern(pattern, field, compositions[form], budget)] as const,
  );
  const compiled = { patterns, keys: new Map<string, string>() };
  compiledTables.set(table, compiled);
  return compiled;
}

/** The value of the first pattern of a config's table that matches a path. */
export function byPattern<K extends string>(
  config: { readonly [F in K]: Readonly<Record<string, number>> },
  field: K,
  path: string,
  form: PatternForm = "dotted or whole",
): number | undefined {
  const table = config[field];
  const { patterns, keys } = compiledTable(table, form, field);
  const key = keys.get(path) ?? patterns.find(([, one]) => one.match(path) !== undefined)?.[0] ?? path;
  keys.set(path, key);
  return Object.hasOwn(table, key) ? table[key] : undefined;
}

/** Keys of a table that match none of the paths. `field` is named in errors. */
export function unmatchedPatterns(
  table: Readonly<Record<string, unknown>>,
  paths: readonly string[],
  field: string,
  form: PatternForm = "dotted or whole",
): readonly string[] {
  return compiledTable(table, form, field)
    .patterns.filter(
      ([key, compiled]) => !paths.some((path) => path === key || compiled.match(path) !== undefined),
    )
    .map(([key]) => key);
}
