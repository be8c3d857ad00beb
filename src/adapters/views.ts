import { PeftError } from "../errors.js";
import type { Adapter } from "./adapter.js";
import { BASE, checkTogether } from "./checks.js";
import type { View } from "./view.js";
import { NO_ADAPTERS } from "./view.js";

/** Which adapters a call uses. */
export interface ViewOptions {
  /** Names of adapters for all rows; an empty list: the base. @default the active ones */
  readonly adapters?: readonly string[] | undefined;
}

/** Rows of a batch with an adapter each, by name; "__base__": none. */
export interface RowAdapters extends ViewOptions {
  /** One name for each row of the batch. */
  readonly adapterNames?: readonly string[] | undefined;
}

/** What a call uses, as it is when it is called: later changes of the model's state do not reach it. */
export interface Chosen {
  readonly adapters: readonly Adapter[];
  readonly versions: readonly (number | undefined)[];
  /** Gates by slot where rows have adapters of their own. */
  readonly rows: readonly Float32Array[] | undefined;
  readonly isOn: boolean;
  /** The adapters were named for this call. */
  readonly isNamed: boolean;
}

/** A model's state, as choosing needs it. */
export interface ModelState {
  readonly active: readonly Adapter[];
  readonly isDisabled: boolean;
  readonly adapterOf: (name: string) => Adapter;
  /** Whether its tensors are still being made or changed. */
  readonly isUnready: (adapter: Adapter) => boolean;
}

/** Fixes what a call of so many rows uses. Throws "adapter-name", "adapter-config", "batch". */
export function choose(
  state: ModelState,
  { adapters: names, adapterNames }: RowAdapters,
  rows: number,
): Chosen {
  if (names !== undefined && adapterNames !== undefined)
    throw new PeftError("batch", {
      what: "adapters and adapterNames are both given.",
      why: "adapters are those of all rows, adapterNames has one for each row.",
      fix: "leave one of them out.",
    });
  const versionOf = (a: Adapter): number | undefined => (state.isUnready(a) ? undefined : a.state.version);
  const of = (adapters: readonly Adapter[], rest: Pick<Chosen, "rows" | "isOn" | "isNamed">): Chosen => {
    return { adapters, versions: adapters.map(versionOf), ...rest };
  };
  if (adapterNames !== undefined) {
    if (state.isDisabled) throw rowsRefused();
    const { adapters, gates } = mixedView(adapterNames, rows, state.adapterOf);
    return of(adapters, { rows: gates, isOn: true, isNamed: true });
  }
  if (names === undefined)
    return of(state.active, { rows: undefined, isOn: !state.isDisabled, isNamed: false });
  const named = [...new Set(names)].map(state.adapterOf);
  if (named.length > 0) checkTogether(named);
  return of(named, { rows: undefined, isOn: true, isNamed: true });
}

/** Whether a call asks for the base without any adapter. */
export function isBase({ adapters, rows, isOn, isNamed }: Chosen): boolean {
  return !isOn || (isNamed && rows === undefined && adapters.length === 0);
}

/** The view of a call when its turn has come. Throws "batch" where adapters are named beside merged ones. */
export function viewOf(chosen: Chosen, merged: readonly Adapter[]): View {
  const { adapters, versions, rows, isOn, isNamed } = chosen;
  if (rows !== undefined && merged.length > 0) throw rowsRefused();
  if (rows !== undefined) return { adapters, gates: rows, versions };
  if (isNamed && merged.length > 0)
    throw new PeftError("batch", {
      what: `adapters is given while ${merged.map((a) => a.name).join(", ")} are merged.`,
      why: "the base's weights hold them already.",
      fix: "leave adapters out, or call unmergeAdapter() first.",
    });
  const unmerged = [...adapters.entries()].filter(([, adapter]) => !merged.includes(adapter));
  const active = unmerged.map(([, adapter]) => adapter);
  if (!isOn && active.some((a) => a.method?.prompt !== undefined || a.task !== undefined)) return NO_ADAPTERS;
  return {
    adapters: active,
    gates: active.map(() => (isOn ? 1 : 0)),
    versions: unmerged.map(([slot]) => versions[slot]),
  };
}

function rowsRefused(): PeftError {
  return new PeftError("batch", {
    what: "adapterNames is given while adapters are disabled or merged.",
    why: "rows cannot choose their adapter then.",
    fix: "leave adapterNames out, or unmerge and enable adapters first.",
  });
}

/** An adapter of its own for each row. Throws "batch". */
function mixedView(
  names: readonly string[],
  rows: number,
  adapterOf: (name: string) => Adapter,
): { adapters: readonly Adapter[]; gates: readonly Float32Array[] } {
  const used = [...new Set(names)].filter((n) => n !== BASE).map(adapterOf);
  if (names.length !== rows)
    throw new PeftError("batch", {
      what: `adapterNames has ${names.length} names for ${rows} rows.`,
      why: "each row needs one.",
      fix: `give ${rows} names; "${BASE}" means none.`,
    });
  const isWhole = (a: Adapter): boolean =>
    a.replaced.size > 0 || a.method?.prompt !== undefined || a.task !== undefined;
  const whole = used.filter(isWhole);
  if (whole.length > 0)
    throw new PeftError("batch", {
      what: `The adapters ${whole.map((a) => a.name).join(", ")} cannot be mixed in one batch.`,
      why: "they replace whole modules, add virtual tokens, or are for another task, which all rows share.",
      fix: "run them one after another.",
    });
  return { adapters: used, gates: used.map((a) => Float32Array.from(names, (n) => (n === a.name ? 1 : 0))) };
}
