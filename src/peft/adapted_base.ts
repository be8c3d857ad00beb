import type { Adapter } from "../adapters/adapter.js";
import { BaseChanges } from "../attach/base_changes.js";
import { CallScope } from "../run/call_scope.js";
import type { Words } from "../words.js";
import { AdapterSet } from "./adapter_set.js";
import { AdapterTurns } from "./adapter_turns.js";
import type { PreTrainedModel } from "./base_model.js";

/** A base with its adapters, and what is under way on them: the state that the calls of a PeftModel share. */
export interface AdaptedBase {
  readonly base: BasePart;
  readonly adapters: AdapterSet;
  readonly turns: AdapterTurns;
  /** What adapters changed of the base's weights. */
  readonly changes: BaseChanges;
  /** Adapters whose merge was called and has not ended. */
  readonly merging: Adapter[];
  /** Calls within disableAdapter(). */
  readonly disabled: CallScope;
  readonly warn: (message: Words) => void;
}

/** The base apart from what its task decides. */
type BasePart = Omit<PreTrainedModel, "base" | "forward" | "lossOf" | "forwardBackward" | "generate">;

export function adaptedBase(base: BasePart, warn: (message: Words) => void): AdaptedBase {
  return {
    base,
    adapters: new AdapterSet(),
    turns: new AdapterTurns(base.runtime.turns),
    changes: new BaseChanges(base.runtime),
    merging: [],
    disabled: new CallScope(),
    warn,
  };
}

export function namesOf(adapters: readonly Adapter[]): string {
  return adapters.map((a) => a.name).join(", ");
}
