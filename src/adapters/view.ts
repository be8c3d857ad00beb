import type { Adapter } from "./adapter.js";

/** Which adapters a run uses, in slots, and how strongly each row uses each. */
export interface View {
  readonly adapters: readonly Adapter[];
  /** Per slot: on (1) or off (0), for all rows, or row by row (mixed batches). */
  readonly gates: readonly (number | Float32Array)[];
  /**
   * Per slot: the version of the adapter's tensors that the run was called with; absent: whichever there is.
   */
  readonly versions?: readonly (number | undefined)[];
}

export const NO_ADAPTERS: View = { adapters: [], gates: [] };
