import { PeftError } from "../errors.js";
import { option, words } from "../words.js";

/** Modules that a wrapper puts around a model, as their names stand in keys, and who does. */
const WRAPPERS: readonly (readonly [segment: string, by: string])[] = [
  ["_orig_mod", "torch.compile"],
  ["_fsdp_wrapped_module", "FSDP"],
  ["_checkpoint_wrapped_module", "activation checkpointing"],
  ["module", "DistributedDataParallel or DeepSpeed"],
];

/** An adapter file's tensors by the names that a saved adapter gives them. */
export interface ReadKeys {
  /** The name that is known here -> the name in the file. */
  readonly stored: ReadonlyMap<string, string>;
  /** Names in the file that mean nothing here. */
  readonly unknown: readonly string[];
  /** What was taken off names, to be said. */
  readonly notes: readonly string[];
}

/**
 * Finds out what the names in an adapter's file mean: those that Python's PEFT loads, and those of state
 * dicts that were saved by hand, with the adapter's name in them or those of wrappers.
 * @param known which names a saved adapter has, and the base below it
 * @throws "adapter-mismatch" where the file holds several adapters, none by the name that it is loaded under
 * Reference: peft/tuners/tuners_utils.py, _remap_adapter_state_dict_for_load
 */
export function readKeys(names: Iterable<string>, known: KnownNames, adapterName: string): ReadKeys {
  const stored = new Map<string, string>();
  const unknown: string[] = [];
  const named = new Map<string, Map<string, string>>();
  const changes: Change[] = [];
  for (const name of names) {
    const reading: Reading | undefined =
      understood(name, known, known.isParameter, withoutAdapter, known.root) ??
      understood(name, known, known.isWhole, withoutModulesToSave) ??
      understood(name, known, known.isOther, () => []);
    if (reading === undefined) unknown.push(name);
    else {
      const of = reading.adapter;
      const keys = of === undefined ? stored : (named.get(of) ?? new Map<string, string>());
      keys.set(reading.name, name);
      if (of !== undefined) named.set(of, keys);
      changes.push({ from: name, to: reading.name });
    }
  }
  const chosen = chooseAdapter([...named.keys()], adapterName);
  for (const [key, name] of named.get(chosen ?? "") ?? []) if (!stored.has(key)) stored.set(key, name);
  const others = [...named.keys()].filter((of) => of !== chosen).map((of) => `"${of}"`);
  const notes = [
    ...(others.length > 0 ? [`it holds the adapters ${others.join(", ")} too, which are left out`] : []),
    ...prefixNotes(changes),
    ...(chosen === undefined || chosen === adapterName
      ? []
      : [`its keys hold the adapter's name "${chosen}": read without it`]),
  ];
  return { stored, unknown, notes };
}

/** A name in the file, and the name that is known here. */
interface Change {
  readonly from: string;
  readonly to: string;
}

function prefixNotes(changes: readonly Change[]): string[] {
  const wrappers = WRAPPERS.filter(([segment]) =>
    changes.some(({ from, to }) => hasSegment(from, segment) && !hasSegment(to, segment)),
  );
  const isBare = changes.some(
    ({ from, to }) => to.startsWith("base_model.") && !hasSegment(from, "base_model"),
  );
  return [
    ...wrappers.map(([segment, by]) => `its keys have the prefix "${segment}." of ${by}: read without it`),
    ...(isBare ? ["its keys lack the prefix base_model.model.: read with it"] : []),
  ];
}

/** Which names mean something. */
export interface KnownNames {
  /** A tensor that the method has of its own. */
  readonly isParameter: (name: string) => boolean;
  /** A tensor of a module that trains whole. */
  readonly isWhole: (name: string) => boolean;
  /** A weight of the base, or what wrappers keep. */
  readonly isOther: (name: string) => boolean;
  /**
   * The base model's name within a model with a head, which names may lack or have; undefined: they must be
   * as they are.
   */
  readonly root?: string | undefined;
  /** A name with modules as they are called today, where transformers 4 called them otherwise. */
  readonly today: (name: string) => string;
}

interface Reading {
  readonly name: string;
  readonly adapter?: string;
}

/** What a name means once wrappers, an adapter's name and the like are taken off it. */
function understood(
  name: string,
  { today }: Pick<KnownNames, "today">,
  isKnown: (name: string) => boolean,
  shortened: (name: string) => readonly Required<Reading>[],
  root?: string,
): Reading | undefined {
  for (const unwrapped of [...new Set(withoutWrappers(name).flatMap((name) => [name, today(name)]))])
    for (const whole of [
      ...[unwrapped, `base_model.model.${unwrapped}`, `base_model.${unwrapped}`],
      ...(root === undefined ? [] : otherRoots(unwrapped, root)),
    ])
      for (const reading of [{ name: whole }, ...shortened(whole)]) {
        const known = [reading.name, withoutDoraWeight(reading.name)].find(isKnown);
        if (known !== undefined) return { ...reading, name: known };
      }
  return undefined;
}

/** The name with another module of the base around it, or with none. */
function otherRoots(name: string, root: string): string[] {
  const plain = name.replace(/^base_model\.model\./, "");
  return [`${root}.${plain}`, plain.slice(plain.indexOf(".") + 1)].map(
    (other) => `base_model.model.${other}`,
  );
}

function hasSegment(name: string, segment: string): boolean {
  return name.split(".").includes(segment);
}

/** Names of modules that stand where an adapter's name may stand. */
const NO_ADAPTERS = ["base_layer", "original_module", "modules_to_save"];

/** "module" may be a name of the model's own, the others are wrappers'. */
function withoutWrappers(name: string): string[] {
  const parts = name.split(".");
  const wrappers = WRAPPERS.map(([segment]) => segment);
  const certain = parts.filter((part) => part === "module" || !wrappers.includes(part));
  const all = certain.filter((part) => part !== "module");
  return [...new Set([name, certain.join("."), all.join(".")])];
}

/** lora_A.NAME.weight and lora_embedding_A.NAME. */
function withoutAdapter(name: string): Required<Reading>[] {
  const parts = name.split(".");
  return [parts.length - 2, parts.length - 1].flatMap((at) => {
    const adapter = parts[at];
    if (adapter === undefined || NO_ADAPTERS.includes(adapter)) return [];
    return [{ name: parts.filter((_, i) => i !== at).join("."), adapter }];
  });
}

/** lm_head.modules_to_save.NAME.weight: a saved adapter has lm_head.weight. */
function withoutModulesToSave(name: string): Required<Reading>[] {
  const parts = name.split(".");
  const at = parts.indexOf("modules_to_save");
  const adapter = parts[at + 1];
  if (at < 0 || adapter === undefined) return [];
  return [{ name: [...parts.slice(0, at), ...parts.slice(at + 2)].join("."), adapter }];
}

/** DoRA's magnitudes were a parameter once, and are a module's weight now. */
function withoutDoraWeight(name: string): string {
  return name.replace(/\.lora_magnitude_vector\.weight$/, ".lora_magnitude_vector");
}

function chooseAdapter(names: readonly string[], wanted: string): string | undefined {
  if (names.length <= 1 || names.includes(wanted)) return names.includes(wanted) ? wanted : names[0];
  throw new PeftError("adapter-mismatch", {
    what: `The file holds the adapters ${names.map((n) => `"${n}"`).join(", ")}, none of them "${wanted}".`,
    why: "names within keys say which tensors belong together, and only one adapter is loaded at a time.",
    fix: words`load one of them by its name: ${option("adapterName", names[0])}.`,
  });
}
