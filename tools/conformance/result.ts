import type { TaskType } from "../../src/models/model.js";
import type { Inputs } from "../../src/trace/feeds.js";
import type { Check, Expected } from "./tensors.js";

/** Keys that are not checked, by name, and why. */
export interface NotCovered {
  readonly reason: string;
  readonly keys: readonly string[];
}

/** A case's checks; those keys that are not covered. */
export interface CaseResult {
  readonly checks: readonly Check[];
  readonly notCovered?: NotCovered;
}

export interface CaseFile {
  readonly model: string;
  readonly task: TaskType | null;
  readonly method: string;
  readonly peft_type: string;
  readonly trainable: number;
  readonly total: number;
  readonly parameters_without_gradient: readonly string[];
  /** The class in Python: says the task where PEFT has none for it. */
  readonly class?: string;
  /** The adapter stands under transformers-4/ too, with the names that it has there. */
  readonly adapter_with_old_names?: boolean;
  readonly generation?: { max_new_tokens: number; min_new_tokens: number; eos_token_id: number[] };
  readonly tolerance: { readonly grad?: number; readonly firm?: number };
}

/** A case on its way: what is expected of it, and the checks so far. */
export interface Context {
  readonly folder: string;
  readonly kit: string;
  readonly file: CaseFile;
  readonly task: TaskType;
  readonly expected: Expected;
  readonly checks: Check[];
  readonly batch: Inputs;
}
