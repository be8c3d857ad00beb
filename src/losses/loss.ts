import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import type { ModelConfig } from "../models/model.js";

/**
 * A column of the batch that a loss reads. `shape`: of numbers and names, where "batch" are the batch's rows,
 * "seq" its tokens, "target" those of a decoder, and "outputs" the numbers that the task's head says at a
 * place. `isPlace`: its numbers are places of tokens, and those beyond the sequence become -100: they are not
 * learnt. `per` "label": one number for each label, as [batch, labels] in the batch, or one for all of a row,
 * [batch]; the loss sees those of the labelled tokens, [chunks, chunk], zeros (labels: -100) where a chunk is
 * not full.
 */
export type LossColumn =
  | {
      readonly dtype: "f32" | "i64";
      readonly shape: readonly (number | string)[];
      readonly isPlace?: boolean;
    }
  | { readonly dtype: "f32" | "i64"; readonly per: "label" };

/** What a loss function sees. */
export interface LossContext {
  readonly g: Graph;
  readonly config: ModelConfig;
  /**
   * All logits (or hidden states, where the task has no head): [batch, total, n] or [batch, n]. At padding
   * (see `mask`) they mean nothing, unless the loss says `padding: true`. `head`: one of the task's heads
   * beside its own.
   */
  readonly logits: (head?: string) => Tensor;
  /** Logits where the model predicts a labelled token, [chunks, chunk, n]: no others are computed. */
  readonly labelled: (head?: string) => Tensor;
  /** Which row of the batch each labelled token is of, [chunks, chunk], i64. */
  readonly labelRows: () => Tensor;
  /** The vector of each text, [batch, hidden]: its tokens pooled as the model's folder says. */
  readonly vectors: () => Tensor;
  /** A column that the loss declares. */
  readonly column: (name: string) => Tensor;
  /** 1 at tokens, virtual ones included, 0 at padding: [batch, total], i64 */
  readonly mask: Tensor;
}

/**
 * A loss is a function in the graph: the sum over what it counts, and the number that sum is divided by, so
 * that accumulated batches weigh by what they count. One that is registered writes the same for a model each
 * time; another one is written down with each call, and compiled where it writes something new.
 * @example
 * ```ts
 * import type { Loss } from "peft.js";
 *
 * const weighted: Loss = {
 *   name: "weighted",
 *   columns: { labels: { dtype: "i64", per: "label" }, weights: { dtype: "f32", per: "label" } },
 *   write: ({ g, labelled, column }) => ({
 *     sum: g.sum(g.mul(g.crossEntropy(labelled(), column("labels")), column("weights"))),
 *     count: g.sum(column("weights")),
 *   }),
 * };
 * const weights = { data: new Float32Array([1, 2]), shape: [2, 1] };
 * await model.forwardBackward({ ...batch, columns: { weights } }, { loss: weighted });
 * ```
 */
export interface Loss {
  readonly name: string;
  /**
   * Tells it from others of its name: it writes the same for a model each time, and is compiled once.
   * @default none; it is written with each call, and compiled where it writes something new
   */
  readonly key?: string;
  /**
   * Columns of the batch that it reads, by name: among the batch's `columns`, or its own fields (labels).
   * @default none
   */
  readonly columns?: Readonly<Record<string, LossColumn>>;
  /** Whether the model's dropout is on while it is learnt, where a call does not say. @default true */
  readonly dropout?: boolean;
  /** It reads logits at padding. @default false: they are not computed */
  readonly padding?: boolean;
  /**
   * It reads vectors alone, and going back no more than so many texts are in the model at a time: a batch may
   * be larger than memory.
   * @default all of them
   */
  readonly chunk?: number;
  readonly write: (c: LossContext) => WrittenLoss;
}

/** What a loss writes. */
export interface WrittenLoss {
  readonly sum: Tensor;
  readonly count: Tensor;
  /**
   * What to know of a batch beside its loss, a number each, f32 []: NaN where the batch has nothing of it.
   * Steps and evaluations say their mean over the batches that have it.
   * @default none
   */
  readonly metrics?: Readonly<Record<string, Tensor>>;
}

/** How many labels count: those of 0 or more. */
export function countOf(g: Graph, labels: Tensor): Tensor {
  return g.sum(g.cast(g.lessEqual(0, labels), "f32"));
}

/** How many numbers logits [batch, n] hold. */
export function sizeOf(y: Tensor): string {
  const n = y.shape.at(-1)!;
  return n === 1 ? "batch" : `${n}*batch`;
}
