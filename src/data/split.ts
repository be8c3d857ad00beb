import { refuseUnknown } from "../arguments.js";
import { PeftError } from "../errors.js";
import { random, shuffled } from "../random.js";

/** How many rows go where. */
export interface SplitOptions {
  /** A part of the rows (0.1), or a number of them (100). @default 0.1 */
  validation?: number;
  /** Seed of the draw. @default 0 */
  seed?: number;
}

/**
 * Rows apart for training and for validation, drawn at random; both keep the rows' order.
 * @throws "option" where nothing would stay for one of them
 * @example
 * ```ts
 * import { split } from "peft.js";
 *
 * const { train, validation } = split(rows, { validation: 0.1, seed: 0 });
 * ```
 */
export function split<Item>(
  rows: readonly Item[],
  options: SplitOptions = {},
): { train: Item[]; validation: Item[] } {
  refuseUnknown("split", options, { validation: { python: "test_size" }, seed: { also: ["random_state"] } });
  const { validation = 0.1, seed = 0 } = options;
  const wanted = validation < 1 ? Math.max(1, Math.round(validation * rows.length)) : validation;
  if (!(validation > 0) || !Number.isInteger(wanted) || wanted >= rows.length) {
    throw new PeftError("option", {
      what: `validation is ${validation}.`,
      why: `it is a part below 1 or a number of rows; of ${rows.length} some must stay for training.`,
      fix: "give for example validation: 0.1.",
    });
  }
  const drawn = new Set(shuffled([...rows.keys()], random(seed)).slice(0, wanted));
  return {
    train: rows.filter((_, i) => !drawn.has(i)),
    validation: rows.filter((_, i) => drawn.has(i)),
  };
}
