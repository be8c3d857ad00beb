import { PeftError } from "../errors.js";
import type { ConvSite, EmbeddingSite, LinearSite } from "../graph/module.js";
import type { Selection } from "../methods/method.js";
import { configPattern } from "../methods/pattern.js";
import { nearest } from "../nearest.js";
import { taskOf } from "../tasks/registry.js";
import type { Inventory } from "../trace/trace.js";
import type { ModelSpec } from "../trace/write.js";
import { option, words } from "../words.js";

/** The layers that a selection means, in the model's order, and names of the list that matched nothing. */
export interface Matched {
  readonly linears: readonly LinearSite[];
  readonly embeddings: readonly EmbeddingSite[];
  readonly convs: readonly ConvSite[];
  /** Entries of a target list that no layer has: worth a warning. */
  readonly unmatched: readonly string[];
  /** excludeModules, where no layer is among them: worth a warning. */
  readonly idleExclusion: Selection["excludeModules"];
  /**
   * Modules that a regular expression means too, and that are no layers: Python's PEFT refuses such a one.
   */
  readonly containers: readonly string[];
}

/** A name means a module with this path, or one whose path ends in it, after a dot. */
export function named(path: string, name: string): boolean {
  return path === name || path.endsWith(`.${name}`);
}

/** A list's names, or a regular expression that matches in full. */
export function matching(patterns: string | readonly string[], field: string): (path: string) => boolean {
  if (typeof patterns !== "string") return (path) => patterns.some((name) => named(path, name));
  const pattern = configPattern(patterns, field);
  return (path) => pattern.fullMatch(path) !== undefined;
}

/**
 * The number of the block that a module is in: after a list's name that `patterns` mean, or after the first
 * list below the root (where Python's expression finds none in a model whose lists stand at its root, nor do
 * we).
 */
function blockNumber(patterns: string | readonly string[] | undefined): (path: string) => number | undefined {
  const names = typeof patterns === "string" ? [patterns] : (patterns ?? []);
  const forms =
    names.length === 0 || patterns === ""
      ? [configPattern(".*?\\.[^.]*\\.(?P<idx>\\d+)\\.", "layersPattern")]
      : names.map((name) =>
          configPattern(name, "layersPattern", (n) => `(?:^|.*?\\.)${n}\\.(?P<idx>\\d+)\\.`),
        );
  return (path) => {
    for (const form of forms) {
      const idx = form.match(path)?.named["idx"];
      if (idx !== undefined) return Number(idx);
    }
    return undefined;
  };
}

/** Which paths a selection means. Reference: peft/tuners/tuners_utils.py, check_target_module_exists */
function selected(s: Selection, targets: string | readonly string[]): (path: string) => boolean {
  const isTarget = matching(targets, "targetModules");
  const isExcluded = matching(s.excludeModules || [], "excludeModules");
  const blocks = typeof s.layersToTransform === "number" ? [s.layersToTransform] : s.layersToTransform;
  const numberOf = blockNumber(s.layersPattern);
  return (path) => {
    if (isExcluded(path) || !isTarget(path)) return false;
    if (typeof targets === "string" || targets.includes(path)) return true;
    if (blocks === undefined || blocks.length === 0) return true;
    const number = numberOf(path);
    return number !== undefined && blocks.includes(number);
  };
}

/**
 * Whether a module of this path trains whole by this name. Python looks at its end only: "norm" means
 * input_layernorm too.
 */
export function trainsWhole(path: string, name: string): boolean {
  return path.endsWith(name);
}

/** Whether a layer is a module that trains whole by this name, or in one. */
function within(path: string, name: string): boolean {
  const parts = path.split(".");
  return parts.some((_, i) => trainsWhole(parts.slice(0, i + 1).join("."), name));
}

/**
 * Chooses layers as PEFT does, none of those in modules that train `whole`. Throws "adapter-targets" where
 * nothing matches: the error lists what is there. Reference: peft/tuners/tuners_utils.py,
 * check_target_module_exists
 */
export function matchTargets(
  spec: ModelSpec,
  all: Inventory,
  selection: Selection,
  defaults: readonly string[] | undefined,
  whole: readonly string[] = [],
): Matched {
  const inventory = withoutModules(all, whole);
  const targets = selection.targetModules ?? defaults;
  if (targets === undefined || targets.length === 0) throw noTargets(spec, inventory);
  if (isAllLinear(targets)) return allLinear(spec, inventory, selection);
  const isSelected = selected(selection, targets);
  const linears = [...inventory.linears.values()].filter((l) => isSelected(l.path));
  const embeddings = [...inventory.embeddings.values()].filter((e) => isSelected(e.path));
  const names = typeof targets === "string" ? [targets] : targets;
  const convs = [...inventory.convs.values()].filter((site) => isSelected(site.path));
  if (linears.length + embeddings.length + convs.length === 0)
    throw nothingMatches(spec, inventory, selection, names);
  const paths = layerPaths(all);
  const unmatched = typeof targets === "string" ? [] : names.filter((n) => !paths.some((p) => named(p, n)));
  const containers = typeof targets === "string" ? modulesAbove(inventory).filter(isSelected) : [];
  return { linears, embeddings, convs, unmatched, idleExclusion: idleExclusion(all, selection), containers };
}

/**
 * Paths of the norms that a selection means: modules with weights that are neither linear layers nor
 * embeddings; all of them where neither it nor the architecture names any. Throws "adapter-targets" where
 * there are none.
 */
export function matchNorms(
  spec: ModelSpec,
  inventory: Inventory,
  selection: Selection,
  defaults: readonly string[] | undefined,
): ReadonlySet<string> {
  const { weights } = inventory;
  const layers = new Set(layerPaths(inventory));
  const modules = new Set([...weights.keys()].map((name) => name.slice(0, name.lastIndexOf("."))));
  const norms = [...modules].filter((path) => !layers.has(path));
  const targets = selection.targetModules ?? defaults ?? norms.map(lastPart);
  const found = norms.filter(selected(selection, targets));
  if (found.length > 0) return new Set(found);
  const there = [...new Set(norms.map(lastPart))];
  throw new PeftError("adapter-targets", {
    what: `No norm matches ${JSON.stringify(targets)}.`,
    why: `this ${spec.config.modelType} checkpoint names its norms ${there.join(", ")}.`,
    fix: words`${option("targetModules", there)}.`,
  });
}

function withoutModules(inventory: Inventory, modules: readonly string[]): Inventory {
  if (modules.length === 0) return inventory;
  const forms = modules.map((m) => configPattern(m, "modulesToSave", (name) => `(^|.*\\.)${name}($|\\..*)`));
  const isWhole = (path: string): boolean =>
    modules.some((m) => within(path, m)) || forms.some((form) => form.match(path) !== undefined);
  const rest = <T>(sites: ReadonlyMap<string, T>): Map<string, T> =>
    new Map([...sites].filter(([path]) => !isWhole(path)));
  const { linears, embeddings, convs } = inventory;
  return { ...inventory, linears: rest(linears), embeddings: rest(embeddings), convs: rest(convs) };
}

/** Every linear layer but the output head, and but the classifier of a sequence classification. */
function allLinear({ architecture, task }: ModelSpec, inventory: Inventory, selection: Selection): Matched {
  const head = architecture.tie?.[0].replace(/\.weight$/, "");
  const { labels, head: ofTask } = taskOf(task);
  const isHead = (path: string): boolean =>
    path === head || (labels === "row" && ofTask.modules.some((name) => named(path, name)));
  const open = { ...selection, targetModules: undefined };
  const isSelected = selected(open, ".*");
  const linears = [...inventory.linears.values()].filter((l) => !isHead(l.path) && isSelected(l.path));
  const idle = idleExclusion(inventory, selection);
  return { linears, embeddings: [], convs: [], unmatched: [], idleExclusion: idle, containers: [] };
}

/** Paths of what "all-linear" means. */
export function allLinearPaths(spec: ModelSpec, inventory: Inventory): string[] {
  return allLinear(spec, inventory, { targetModules: undefined }).linears.map(({ path }) => path);
}

/** Modules that hold others or are norms. */
function modulesAbove(inventory: Inventory): string[] {
  const layers = new Set(layerPaths(inventory));
  const parents = (path: string): string[] =>
    path.split(".").map((_, i, parts) => parts.slice(0, i).join("."));
  const all = new Set([...inventory.weights.keys(), ...layers].flatMap(parents));
  return [...all].filter((path) => path !== "" && !layers.has(path));
}

/** Layers that methods may stand on. */
function layerPaths({ linears, embeddings, convs }: Inventory): string[] {
  return [...linears.keys(), ...embeddings.keys(), ...convs.keys()];
}

function idleExclusion(inventory: Inventory, { excludeModules }: Selection): Selection["excludeModules"] {
  if (excludeModules === undefined || excludeModules.length === 0) return undefined;
  const isExcluded = matching(excludeModules, "excludeModules");
  return layerPaths(inventory).some(isExcluded) ? undefined : excludeModules;
}

/** Python takes the word in any case. */
export function isAllLinear(targets: Selection["targetModules"]): boolean {
  return typeof targets === "string" && targets.toLowerCase() === "all-linear";
}

function lastPart(path: string): string {
  return path.slice(path.lastIndexOf(".") + 1);
}

/** The last parts of the layers' names, which is what users type. */
export function layerNames(inventory: Inventory): string[] {
  return [...new Set(layerPaths(inventory).map(lastPart))];
}

/** Some names of a list are no layer's at all: a typing error that Python lets pass. */
export function refuseAbsent(spec: ModelSpec, inventory: Inventory, unmatched: readonly string[]): void {
  const layers = layerPaths(inventory);
  const absent = unmatched.filter((n) => !layers.some((p) => named(p, n)));
  if (absent.length === 0) return;
  const there = layerNames(inventory);
  const meant = absent.map((n) => nearest(lastPart(n), there)).filter((n) => n !== undefined);
  throw new PeftError("adapter-targets", {
    what: words`No layer matches ${JSON.stringify(absent)} of ${option("targetModules")}; the others of the list do.`,
    why: `this ${spec.config.modelType} checkpoint names its layers ${there.join(", ")}.`,
    fix: `${meant.length > 0 ? `write ${JSON.stringify(meant)}, or ` : ""}leave out what is not there.`,
  });
}

function noTargets({ config, architecture }: ModelSpec, inventory: Inventory): PeftError {
  return new PeftError("adapter-targets", {
    what: words`No ${option("targetModules")} are given for a ${config.modelType} model.`,
    why: "this architecture has no default for this method.",
    fix: words`use ${option("targetModules", architecture.roles.targets ?? layerNames(inventory).slice(0, 2))} or "all-linear".`,
  });
}

function nothingMatches(
  spec: ModelSpec,
  inventory: Inventory,
  selection: Selection,
  names: readonly string[],
): PeftError {
  const there = layerNames(inventory);
  const meant = new Set(names.map((n) => nearest(lastPart(n), there)).filter((n) => n !== undefined));
  const suggested = meant.size > 0 ? [...meant] : (spec.architecture.roles.targets ?? there.slice(0, 2));
  const known = names.some((n) => layerPaths(inventory).some((p) => named(p, n)));
  return new PeftError("adapter-targets", {
    what: words`No layer matches ${option("targetModules")} ${JSON.stringify(names)}.`,
    why: known
      ? words`${option("excludeModules")}, ${option("layersToTransform")} (${JSON.stringify(selection.layersToTransform ?? null)}) or ${option("layersPattern")} leave none.`
      : `this ${spec.config.modelType} checkpoint names its layers ${there.join(", ")}.`,
    fix: words`use ${option("targetModules", suggested)} or "all-linear".`,
  });
}
