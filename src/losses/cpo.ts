import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import { labelColumn, labelledLogProbs, sumByRow } from "./log_probs.js";
import type { Loss } from "./loss.js";
import { chosenNll, completionColumn, meanByRow } from "./orpo.js";
import { countPairs, pairColumns, pairMetrics, pairOf, smoothed } from "./pairs.js";

/** CPO's losses by their names in TRL. */
export type CpoLossType = "sigmoid" | "hinge" | "ipo" | "simpo";

/** What CPO's losses are told. */
export interface CpoLossOptions {
  /** "simpo" and "ipo" compare means per token. @default "sigmoid" */
  readonly loss?: CpoLossType;
  /** @default 0.1 */
  readonly beta?: number;
  /** Share of pairs that are thought to be the wrong way round (sigmoid, simpo). @default 0 */
  readonly labelSmoothing?: number;
  /** What the likelihood of chosen completions weighs; SimPO proper has 0. @default 1 */
  readonly cpoAlpha?: number;
  /** SimPO's margin. @default 0.5 */
  readonly simpoGamma?: number;
  /** Rewards are (1 - p^-alpha) / alpha (AlphaPO, arXiv 2501.03884); 0: log p. @default 0 */
  readonly alpha?: number;
}

/** d = A - B, A and B of the chosen and the rejected completion: [pairs] */
const losses: { readonly [K in CpoLossType]: (g: Graph, d: Tensor, beta: number, e: number) => Tensor } = {
  sigmoid: (g, d, beta, e) => smoothed(g, g.mul(d, beta), e),
  simpo: (g, d, beta, e) => smoothed(g, g.mul(d, beta), e),
  // max(0, 1 - beta d)
  hinge: (g, d, beta) => g.relu(g.sub(1, g.mul(d, beta))),
  // (d - 1 / 2 beta)^2
  ipo: (g, d, beta) => g.square(g.sub(d, 1 / (2 * beta))),
};

/**
 * Contrastive preference optimization (arXiv 2401.08417), SimPO (2405.14734), AlphaPO; without a reference:
 * A and B are log p of chosen and rejected completions, sums or means per token, d = A - B (SimPO: less
 * gamma / beta). Reference: trl/experimental/cpo/cpo_trainer.py
 */
export function cpoLoss(options: CpoLossOptions = {}): Loss {
  const { loss = "sigmoid", beta = 0.1, labelSmoothing = 0, cpoAlpha = 1, simpoGamma = 0.5 } = options;
  const { alpha = 0 } = options;
  const isMean = loss === "simpo" || loss === "ipo";
  return {
    name: "cpo",
    key: JSON.stringify(options),
    columns: { ...labelColumn, ...pairColumns, ...completionColumn },
    write: (c) => {
      const { g } = c;
      const tokens = labelledLogProbs(c);
      const completion = c.column("completion");
      const logs = pairOf(c, isMean ? meanByRow(c, tokens) : sumByRow(c, g.mul(tokens, completion)));
      const reward = (x: Tensor): Tensor =>
        alpha === 0 ? x : g.mul(g.sub(1, g.exp(g.mul(x, -alpha))), 1 / alpha);
      const rewards = { chosen: reward(logs.chosen), rejected: reward(logs.rejected) };
      const difference = g.sub(rewards.chosen, rewards.rejected);
      const d = loss === "simpo" ? g.sub(difference, simpoGamma / beta) : difference;
      const sum = g.sum(losses[loss](g, d, beta, labelSmoothing));
      const nll = cpoAlpha === 0 ? g.scalar(0) : chosenNll(c, tokens, completion);
      const pairs = countPairs(c);
      return {
        sum: g.add(sum, g.mul(nll, g.mul(pairs, cpoAlpha))),
        count: pairs,
        metrics: { ...pairMetrics(g, rewards, logs, beta), nll_loss: nll },
      };
    },
  };
}
