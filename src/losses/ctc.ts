import { axes, dimAt, mulDims } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import type { ModelConfig } from "../models/model.js";
import type { Loss } from "./loss.js";

/** Transformers' defaults. */
const SETTINGS: NonNullable<ModelConfig["ctc"]> = { reduction: "sum", zeroInfinity: false, blank: 0 };

/**
 * The letters of each row, in any of the ways in which frames may say them (Graves et al. 2006): letters
 * repeated, with blanks between them, which between equal letters there must be.
 */
export const ctc: Loss = {
  name: "ctc",
  columns: { labels: { dtype: "i64", shape: ["batch", "letters"] } },
  write: ({ g, config, logits, column, mask }) => {
    const { reduction, zeroInfinity, blank } = config.ctc ?? SETTINGS;
    const labels = column("labels");
    const all = ctcOf(g, logits(), labels, mask, blank);
    const each = zeroInfinity ? g.where(g.less(all, 1e30), all, 0) : all;
    if (reduction === "sum") return { sum: g.sum(each), count: g.scalar(1) };
    const letters = g.sum(g.cast(g.lessEqual(0, labels), "f32"), 1);
    return { sum: g.sum(g.div(each, g.max(letters, 1))), count: g.size(dimAt(labels.shape, 0)) };
  },
};

/**
 * logits [batch, frames, classes], labels [batch, letters] (i64; negative: none), mask [batch, frames] (i64)
 * -> the loss of each row, [batch]
 */
export function ctcOf(g: Graph, logits: Tensor, labels: Tensor, mask: Tensor, blank: number): Tensor {
  const [batch, letters] = axes(labels.shape, 2);
  const frames = dimAt(logits.shape, 1);
  const isLetter = g.lessEqual(0, labels);
  const order = g.argsort(g.cast(g.not(isLetter), "f32")); // letters first, as they stand
  const sorted = g.gatherLast(labels, order);
  const own = g.where(g.lessEqual(0, sorted), sorted, g.scalar(blank, "i64"));
  // blank, letter, blank, letter, ..., blank: [batch, states]
  const between = g.expand(g.scalar(blank, "i64"), [batch, letters, 1]);
  const pairs = g.reshape(g.concat([between, g.unsqueeze(own, -1)], -1), [batch, mulDims(letters, 2)]);
  const end = g.expand(g.scalar(blank, "i64"), [batch, 1]);
  const states = g.concat([pairs, end], 1);
  const count = dimAt(states.shape, 1);
  const twoBefore = g.slice(g.pad(states, 1, 2, 0), 1, 0, count);
  const isBlank = g.equal(states, g.scalar(blank, "i64"));
  const skips = g.not(g.or(isBlank, g.equal(states, twoBefore)));
  const last = g.mul(g.sum(g.cast(isLetter, "i64"), 1, true), 2); // [batch, 1]
  const away = g.sub(last, g.iota(count)); // 0 at the last blank, 1 at the last letter
  const ends = g.and(g.lessEqual(0, away), g.less(away, 2));
  const ids = g.expand(g.unsqueeze(states, 1), [batch, frames, count]);
  const emissions = g.gatherLast(g.logSoftmax(logits), ids);
  return g.ctc(emissions, g.cast(skips, "i64"), g.cast(ends, "i64"), mask);
}
