import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import { atLabelled, labelColumn, labelledLogProbs, sumByRow } from "./log_probs.js";
import type { Loss, LossColumn, LossContext } from "./loss.js";
import { countPairs, isChosen, logSigmoid, pairColumns, pairMetrics, pairOf } from "./pairs.js";

/** 1 at labels of a completion, 0 at those of a prompt: decoders learn chosen prompts too. */
export const completionColumn: Readonly<Record<"completion", LossColumn>> = {
  completion: { dtype: "f32", per: "label" },
};

/** What ORPO's loss is told. */
export interface OrpoLossOptions {
  /** What the odds weigh beside the likelihood: lambda of the paper. @default 0.1 */
  readonly beta?: number;
}

/**
 * Odds ratio preference optimization (arXiv 2403.07691), without a reference: A and B are the mean log p of
 * chosen and rejected completions' tokens,
 * odds = A - B - (log(1 - e^A) - log(1 - e^B)), loss = nll(chosen) - beta mean log sigmoid(odds). Reference:
 * trl/experimental/orpo/orpo_trainer.py
 */
export function orpoLoss(options: OrpoLossOptions = {}): Loss {
  const { beta = 0.1 } = options;
  return {
    name: "orpo",
    key: JSON.stringify(options),
    columns: { ...labelColumn, ...pairColumns, ...completionColumn },
    write: (c) => {
      const { g } = c;
      const tokens = labelledLogProbs(c);
      const means = pairOf(c, meanByRow(c, tokens));
      const { chosen, rejected } = means;
      const off = g.sub(log1mExp(g, chosen), log1mExp(g, rejected));
      const odds = g.sub(g.sub(chosen, rejected), off);
      const ratios = logSigmoid(g, odds);
      const nll = chosenNll(c, tokens, g.cast(g.lessEqual(0, c.column("labels")), "f32"));
      const pairs = countPairs(c);
      return {
        sum: g.sub(g.mul(nll, pairs), g.mul(g.sum(ratios), beta)),
        count: pairs,
        metrics: {
          ...pairMetrics(g, means, means, beta),
          nll_loss: nll,
          log_odds_ratio: g.mean(ratios),
          log_odds_chosen: g.mean(odds),
        },
      };
    },
  };
}

/** The mean of log p over a row's completion: [batch] */
export function meanByRow(c: LossContext, tokens: Tensor): Tensor {
  const { g } = c;
  const completion = c.column("completion");
  return g.div(sumByRow(c, g.mul(tokens, completion)), sumByRow(c, completion));
}

/** Minus the mean of log p over the tokens of chosen rows, of those that `counts` says 1 of. */
export function chosenNll(c: LossContext, tokens: Tensor, counts: Tensor): Tensor {
  const { g } = c;
  const chosen = g.mul(counts, atLabelled(c, isChosen(c)));
  return g.neg(g.div(g.sum(g.mul(tokens, chosen)), g.sum(chosen)));
}

/** log(1 - e^x) of x below 0; near 0, where 1 - e^x has no digits left, by its series -x (1 + x/2 + x^2/6) */
function log1mExp(g: Graph, x: Tensor): Tensor {
  const below = g.min(x, -1e-12);
  const near = g.max(below, -0.01);
  const series = g.mul(g.neg(near), g.add(1, g.mul(near, g.add(0.5, g.mul(near, 1 / 6)))));
  const far = g.min(below, -0.01);
  return g.where(g.less(-0.01, below), g.log(series), g.log(g.sub(1, g.exp(far))));
}
