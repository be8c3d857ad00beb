import type { LoadedJson } from "../adapters/adapter.js";
import type { AdapterConfig } from "../methods/method.js";
import { configPattern } from "../methods/pattern.js";
import { pythonName } from "../options.js";
import type { Inventory } from "../trace/trace.js";
import type { ModelSpec } from "../trace/write.js";
import { moduleNamesOf } from "../weights/module_names.js";
import { isAllLinear, named } from "./targets.js";

/** Options of configs that name modules: by the ends of their paths, or by a regular expression. */
const NAMES = ["targetModules", "excludeModules", "feedforwardModules", "modulesToSave"] as const;
/** Those that are tables by patterns of paths. */
const TABLES = ["rankPattern", "alphaPattern"] as const;

/** A module's path, and the one that it had in transformers 4. */
interface Path {
  readonly today: string;
  readonly before: string;
}

/**
 * A config whose names are those that transformers 4 had for modules (`query`) in today's (`q_proj`): so that
 * all that reads it, and its file, knows one name of a module. What means something today stays.
 */
export function inTodaysNames<C extends AdapterConfig>(
  config: C,
  { architecture }: ModelSpec,
  inventory: Inventory,
  file?: LoadedJson,
): { readonly config: C; readonly file: LoadedJson | undefined } {
  const rules = architecture.checkpoint;
  if (rules?.modules === undefined) return { config, file };
  const { before } = moduleNamesOf(rules);
  const paths = [...modulePaths(inventory)].map((today): Path => ({ today, before: before(today) }));
  const changes = new Map<string, unknown>();
  const options = new Map<string, unknown>(Object.entries(config));
  for (const key of NAMES) {
    const value = options.get(key);
    if (isNames(value)) changes.set(key, ofNames(value, key, paths));
  }
  for (const key of TABLES) {
    const value = options.get(key);
    if (typeof value === "object" && value !== null) changes.set(key, ofTable(value, key, paths));
  }
  const lists = options.get("layersPattern");
  if (isNames(lists)) changes.set("layersPattern", ofLists(lists, rules.modules));
  const changed = [...changes].filter(
    ([key, value]) => JSON.stringify(value) !== JSON.stringify(options.get(key)),
  );
  if (changed.length === 0) return { config, file };
  const own: C = { ...config, ...Object.fromEntries(changed) };
  Object.setPrototypeOf(own, Object.getPrototypeOf(config));
  const json = Object.fromEntries(changed.map(([key, value]) => [pythonName(key), value]));
  return { config: own, file: file && { ...file, json: { ...file.json, ...json } } };
}

function isNames(value: unknown): value is string | readonly string[] {
  return typeof value === "string" || (Array.isArray(value) && value.every((x) => typeof x === "string"));
}

/** Every module that holds a weight, and those around it. */
function modulePaths({ weights }: Inventory): Set<string> {
  const parts = [...weights.keys()].map((name) => name.split("."));
  return new Set(parts.flatMap((all) => all.slice(1).map((_, i) => all.slice(0, i + 1).join("."))));
}

/** Names by today's; a regular expression of old ones becomes the paths that it means. */
function ofNames(
  names: string | readonly string[],
  field: string,
  paths: readonly Path[],
): string | readonly string[] {
  if (typeof names !== "string") {
    const old = names.filter((name) => !paths.some(({ today }) => named(today, name)));
    const found = meant(paths, (path) => old.some((name) => named(path, name)));
    const unknown = old.filter((name) => !paths.some(({ before }) => named(before, name)));
    return [...names.filter((name) => !old.includes(name)), ...found, ...unknown];
  }
  const pattern = isAllLinear(names) ? undefined : configPattern(names, field);
  const isMeant = (path: string): boolean => pattern?.fullMatch(path) !== undefined;
  if (pattern === undefined || paths.some(({ today }) => isMeant(today))) return names;
  const found = meant(paths, isMeant);
  return found.length === 0 ? names : found;
}

function ofTable(table: object, field: string, paths: readonly Path[]): Readonly<Record<string, unknown>> {
  const entries = Object.entries(table).flatMap(([key, value]) => {
    const pattern = configPattern(key, field, (written) => `(.*\\.)?(${written})$`);
    const isMeant = (path: string): boolean => pattern.match(path) !== undefined;
    const found = paths.some(({ today }) => isMeant(today)) ? [] : meant(paths, isMeant);
    return (found.length === 0 ? [key] : found).map((name) => [name, value] as const);
  });
  return Object.fromEntries(entries);
}

/**
 * Today's names of the modules that are meant by their old ones: the last part of a path where all modules
 * of that name are meant, else the path.
 */
function meant(paths: readonly Path[], isMeant: (path: string) => boolean): string[] {
  const found = new Set(paths.filter(({ before }) => isMeant(before)).map(({ today }) => today));
  const last = (path: string): string => path.slice(path.lastIndexOf(".") + 1);
  const isWhole = (name: string): boolean =>
    paths.every(({ today }) => last(today) !== name || found.has(today));
  return [...new Set([...found].map((path) => (isWhole(last(path)) ? last(path) : path)))];
}

/** Names of lists of layers: "layer" of "encoder.layer.*", which is "layers.*" today. */
function ofLists(
  names: string | readonly string[],
  rules: readonly (readonly [before: string, today: string])[],
): string | readonly string[] {
  const today = (name: string): string => {
    const [, now] = rules.find(([before]) => named(before, `${name}.*`)) ?? [];
    return now?.replace(/\.\*$/, "").split(".").at(-1) ?? name;
  };
  return typeof names === "string" ? today(names) : names.map(today);
}
