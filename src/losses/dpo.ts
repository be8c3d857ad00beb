import { PeftError } from "../errors.js";
import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import { option, words } from "../words.js";
import {
  atLabelled,
  isLabelled,
  labelColumn,
  labelledLogProbs,
  meanOfTokens,
  sumByRow,
  tokenStatistic,
} from "./log_probs.js";
import type { Loss, LossContext } from "./loss.js";
import {
  countPairs,
  isChosen,
  logSigmoid,
  type Pair,
  pairColumns,
  pairMetrics,
  pairOf,
  smoothed,
} from "./pairs.js";

/** A pair's numbers, each [pairs]. */
interface PairTerms {
  readonly g: Graph;
  readonly beta: number;
  /** Label smoothing. */
  readonly e: number;
  readonly tau: number;
  /** log p(chosen) - log q(chosen), and the same of the rejected one; q is the reference's. */
  readonly a: Tensor;
  readonly b: Tensor;
  /** f(a) - f(b) by the divergence, and the same of f(a) and f(b) per token. */
  readonly d: Tensor;
  readonly perToken: Tensor;
  readonly policy: Pair;
  readonly reference: Pair;
}

type PairLoss = (t: PairTerms) => Tensor;

const ascending = (g: Graph, x: Tensor): Tensor => g.gather(x, g.argsort(x));

const squaredOff = ({ g, beta }: PairTerms, x: Tensor, side: 1 | -1): Tensor =>
  g.square(g.sub(x, side / (2 * beta)));

/** DPO's losses by their names in TRL. */
export type DpoLossType =
  | ("sigmoid" | "hinge" | "ipo" | "exo_pair" | "nca_pair" | "robust" | "bco_pair" | "sppo_hard")
  | ("aot" | "aot_unpaired" | "apo_zero" | "apo_down" | "discopop" | "sigmoid_norm" | "sft");

/** The loss of a pair, by its name. s: sigmoid, ls: its logarithm. */
const pairLosses: { readonly [K in Exclude<DpoLossType, "sft">]: PairLoss } = {
  // -ls(beta d)
  sigmoid: ({ g, beta, d }) => g.neg(logSigmoid(g, g.mul(d, beta))),
  // max(0, 1 - beta d)
  hinge: ({ g, beta, d }) => g.relu(g.sub(1, g.mul(d, beta))),
  // (d per token - 1 / 2 beta)^2
  ipo: (t) => squaredOff(t, t.perToken, 1),
  // s(beta d) (ls(beta d) - log(1 - e)) + s(-beta d) (ls(-beta d) - log e)
  exo_pair: ({ g, beta, d, e }) => {
    const side = (x: Tensor, share: number): Tensor =>
      g.mul(g.sigmoid(x), g.sub(logSigmoid(g, x), Math.log(share)));
    const x = g.mul(d, beta);
    return g.add(side(x, 1 - e), side(g.neg(x), e));
  },
  // -ls(beta a) - ls(-beta a) / 2 - ls(-beta b) / 2
  nca_pair: ({ g, beta, a, b }) => {
    const negative = (x: Tensor): Tensor => g.mul(logSigmoid(g, g.mul(x, -beta)), 0.5);
    return g.neg(g.add(logSigmoid(g, g.mul(a, beta)), g.add(negative(a), negative(b))));
  },
  // (-(1 - e) ls(beta d) + e ls(-beta d)) / (1 - 2 e)
  robust: ({ g, beta, d, e }) => {
    const x = g.mul(d, beta);
    const sides = g.sub(g.mul(logSigmoid(g, g.neg(x)), e), g.mul(logSigmoid(g, x), 1 - e));
    return g.mul(sides, 1 / (1 - 2 * e));
  },
  // -ls(beta a) - ls(-beta b)
  bco_pair: ({ g, beta, a, b }) =>
    g.neg(g.add(logSigmoid(g, g.mul(a, beta)), logSigmoid(g, g.mul(b, -beta)))),
  // (a - 1 / 2 beta)^2 + (b + 1 / 2 beta)^2
  sppo_hard: (t) => t.g.add(squaredOff(t, t.a, 1), squaredOff(t, t.b, -1)),
  // sorted log p(chosen) - log p(rejected) against the reference's, sorted
  aot: ({ g, beta, e, policy: p, reference: q }) => {
    const difference = (x: Pair): Tensor => ascending(g, g.sub(x.chosen, x.rejected));
    return smoothed(g, g.mul(g.sub(difference(p), difference(q)), beta), e);
  },
  // sorted a against sorted b
  aot_unpaired: ({ g, beta, e, a, b }) =>
    smoothed(g, g.mul(g.sub(ascending(g, a), ascending(g, b)), beta), e),
  // 1 - s(beta a) + s(beta b)
  apo_zero: ({ g, beta, a, b }) => g.add(g.sub(1, g.sigmoid(g.mul(a, beta))), g.sigmoid(g.mul(b, beta))),
  // s(beta a) + 1 - s(beta (a - b))
  apo_down: ({ g, beta, a, b }) =>
    g.add(g.sigmoid(g.mul(a, beta)), g.sub(1, g.sigmoid(g.mul(g.sub(a, b), beta)))),
  // m = s(beta d / tau): -ls(beta d) (1 - m) + exp(-beta d) m
  discopop: ({ g, beta, d, tau }) => {
    const x = g.mul(d, beta);
    const m = g.sigmoid(g.div(x, tau));
    return g.add(g.mul(g.neg(logSigmoid(g, x)), g.sub(1, m)), g.mul(g.exp(g.neg(x)), m));
  },
  // -ls(beta d per token)
  sigmoid_norm: ({ g, beta, perToken }) => g.neg(logSigmoid(g, g.mul(perToken, beta))),
};

/** How far the policy is from its reference is measured by one of these. */
export type Divergence = "reverse_kl" | "forward_kl" | "js_divergence" | "alpha_divergence";

/** f of each divergence, up to a constant that cancels but for lengths. */
const divergences: { readonly [K in Divergence]: (g: Graph, x: Tensor, alpha: number) => Tensor } = {
  reverse_kl: (_, x) => x,
  // 1 - exp(-x)
  forward_kl: (g, x) => g.sub(1, g.exp(g.neg(x))),
  // log 2 + ls(x)
  js_divergence: (g, x) => g.add(logSigmoid(g, x), Math.LN2),
  // (exp((alpha - 1) x) - 1) / (alpha - 1)
  alpha_divergence: (g, x, alpha) => g.mul(g.sub(g.exp(g.min(g.mul(x, alpha - 1), 80)), 1), 1 / (alpha - 1)),
};

/** What DPO's losses are told. */
export interface DpoLossOptions {
  /** One of TRL's loss types, or several whose sum it is. @default "sigmoid" */
  readonly loss?: DpoLossType | readonly DpoLossType[];
  /** A weight for each of several. @default 1 each */
  readonly lossWeights?: readonly number[];
  /** How strongly the policy is held to its reference. @default 0.1 */
  readonly beta?: number;
  /** Share of pairs that are thought to be the wrong way round, of losses that read it. @default 0 */
  readonly labelSmoothing?: number;
  /** @default "reverse_kl" */
  readonly fDivergence?: Divergence;
  /** The alpha of the divergence of that name. @default 0.5 */
  readonly fAlphaDivergenceCoef?: number;
  /** The temperature of discopop's mixture. @default 0.05 */
  readonly discopopTau?: number;
  /** Weigh each pair by how likely the policy finds it (WPO, arXiv 2406.11827). @default false */
  readonly useWeighting?: boolean;
  /** Tokens count what the column `logProbWeights` says (LD-DPO, arXiv 2409.06411). @default 1 each */
  readonly isWeighed?: boolean;
}

/**
 * Direct preference optimization (arXiv 2305.18290) and relatives: of pairs whose rows stand in one batch,
 * with the reference's log-probabilities of them as a column. Reference: trl/trainer/dpo_trainer.py
 */
export function dpoLoss(options: DpoLossOptions = {}): Loss {
  const { loss = "sigmoid", beta = 0.1, isWeighed = false } = options;
  const types = typeof loss === "string" ? [loss] : loss;
  checkOptions(types, options);
  return {
    name: "dpo",
    key: JSON.stringify(options),
    columns: {
      ...labelColumn,
      ...pairColumns,
      referenceLogProbs: { dtype: "f32", shape: ["batch"] },
      completionLengths: { dtype: "f32", shape: ["batch"] },
      ...(isWeighed && { logProbWeights: { dtype: "f32", per: "label" } }),
    },
    write: (c) => {
      const { g } = c;
      const tokens = labelledLogProbs(c);
      const policy = pairOf(c, sumByRow(c, isWeighed ? g.mul(tokens, c.column("logProbWeights")) : tokens));
      const reference = pairOf(c, c.column("referenceLogProbs"));
      const t = termsOf(c, policy, reference, options);
      const pairs = countPairs(c);
      const ofChosen = g.mul(isLabelled(c), atLabelled(c, isChosen(c)));
      const weight = options.useWeighting ? wpoWeight(c, tokens) : undefined;
      const sumOf = (type: DpoLossType): Tensor => {
        if (type === "sft") return g.neg(g.mul(meanOfTokens(c, tokens, ofChosen), pairs));
        const each = pairLosses[type](t);
        return g.sum(weight === undefined ? each : g.mul(each, weight));
      };
      const sums = types.map((type, i) => g.mul(sumOf(type), options.lossWeights?.[i] ?? 1));
      return {
        sum: sums.reduce((x, y) => g.add(x, y)),
        count: pairs,
        metrics: {
          ...pairMetrics(g, { chosen: t.a, rejected: t.b }, policy, beta),
          ...tokenMetrics(c, ofChosen),
        },
      };
    },
  };
}

function termsOf(
  c: LossContext,
  policy: Pair,
  reference: Pair,
  { beta = 0.1, labelSmoothing = 0, discopopTau = 0.05, fDivergence = "reverse_kl", ...more }: DpoLossOptions,
): PairTerms {
  const { g } = c;
  const a = g.sub(policy.chosen, reference.chosen);
  const b = g.sub(policy.rejected, reference.rejected);
  const { fAlphaDivergenceCoef: alpha = 0.5 } = more;
  const [u, v] = [divergences[fDivergence](g, a, alpha), divergences[fDivergence](g, b, alpha)];
  const lengths = pairOf(c, c.column("completionLengths"));
  const perToken = g.sub(g.div(u, lengths.chosen), g.div(v, lengths.rejected));
  return {
    ...{ g, beta, e: labelSmoothing, tau: discopopTau, a, b },
    ...{ d: g.sub(u, v), perToken, policy, reference },
  };
}

/** exp(mean over tokens of log p - log sum p^2) of both completions, without a gradient: [pairs] */
function wpoWeight(c: LossContext, tokens: Tensor): Tensor {
  const { g } = c;
  const aligned = g.mul(g.sub(tokens, tokenStatistic(c, "logSumSquares")), isLabelled(c));
  const counts = g.max(sumByRow(c, isLabelled(c)), 1);
  const { chosen, rejected } = pairOf(c, g.exp(g.div(sumByRow(c, aligned), counts)));
  return g.detach(g.mul(chosen, rejected));
}

function tokenMetrics(c: LossContext, ofChosen: Tensor): Record<string, Tensor> {
  const logits = tokenStatistic(c, "meanLogit");
  return {
    "logits/chosen": meanOfTokens(c, logits, ofChosen),
    "logits/rejected": meanOfTokens(c, logits, c.g.sub(isLabelled(c), ofChosen)),
    entropy: meanOfTokens(c, tokenStatistic(c, "entropy")),
    mean_token_accuracy: meanOfTokens(c, tokenStatistic(c, "isRight"), ofChosen),
  };
}

/** Throws "option" with all that is wrong. */
function checkOptions(
  types: readonly string[],
  { lossWeights, labelSmoothing = 0, useWeighting, beta = 0.1, fDivergence = "reverse_kl" }: DpoLossOptions,
): void {
  const known = [...Object.keys(pairLosses), "sft"];
  const strange = types.filter((type) => !known.includes(type));
  const faults = [
    ...strange.map((type) => `${JSON.stringify(type)} is none of its losses: ${known.join(", ")}`),
    ...(types.length === 0 ? ["it has no loss"] : []),
    ...(lossWeights !== undefined && lossWeights.length !== types.length
      ? [`${lossWeights.length} weights are given for ${types.length} losses`]
      : []),
    ...(types.includes("exo_pair") && !(labelSmoothing > 0)
      ? ["exo_pair needs a label smoothing above 0"]
      : []),
    ...(!(labelSmoothing >= 0 && labelSmoothing < 0.5)
      ? [`a label smoothing of ${labelSmoothing} is not from 0 to 0.5`]
      : []),
    ...(useWeighting === true && types.includes("sft") ? ["weights of pairs mean nothing to sft"] : []),
    ...(!(beta > 0) ? [`beta is ${beta}, and must be above 0`] : []),
    ...(Object.hasOwn(divergences, fDivergence)
      ? []
      : [`there is no divergence ${JSON.stringify(fDivergence)}: ${Object.keys(divergences).join(", ")}`]),
  ];
  if (faults.length === 0) return;
  throw new PeftError("option", {
    what: words`${option("loss")} of DPO cannot be computed: ${faults.join("; ")}.`,
    why: "each of these decides what is learnt.",
    fix: words`give for example ${option("loss", "sigmoid")} and ${option("beta", 0.1)}.`,
  });
}
