import { at } from "../present.js";
import type { Scored, Scores } from "./scores.js";

/** Pairs: whether the better one has the higher reward. */
export const pairScores: Scores = {
  metrics: { accuracy: "higher", margin: "higher" },
  from: "logits",
  read({ rows, pairs }, { data, shape }) {
    if (pairs === undefined) return [];
    const width = shape.at(-1) ?? 1;
    return Array.from({ length: pairs.shape[0] }, (_, pair): Scored => {
      const [better, worse] = [at(pairs.data, 2 * pair), at(pairs.data, 2 * pair + 1)];
      const predicted = [at(data, better * width), at(data, worse * width)];
      return { row: at(rows, better), predicted, actual: [] };
    });
  },
  words: (values) => values.map((x) => String(Number(x.toPrecision(4)))).join(" > "),
  measure(scored) {
    if (scored.length === 0) return {};
    const rewards = scored.flatMap(({ predicted }) => predicted);
    const ahead = scored.map(({ predicted }) => at(predicted, 0) - at(predicted, 1));
    const mean = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0) / list.length;
    return {
      accuracy: mean(ahead.map((x) => Number(x > 0))),
      margin: mean(ahead),
      mean_reward: mean(rewards),
      min_reward: rewards.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY),
      max_reward: rewards.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY),
    };
  },
};
