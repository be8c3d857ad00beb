import { dimAt } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import {
  atLabelled,
  isLabelled,
  labelColumn,
  labelledLogProbs,
  logitsOf,
  meanOfTokens,
  sumByRow,
  tokenStatistic,
} from "./log_probs.js";
import type { Loss, LossColumn, LossContext } from "./loss.js";

/** What a token's loss is, and what the sum over tokens is divided by. */
export const GRPO_LOSSES = ["grpo", "bnpo", "dr_grpo", "dapo", "luspo", "cispo", "sapo", "vespo"] as const;
/** GRPO's losses by their names in TRL. */
export type GrpoLossName = (typeof GRPO_LOSSES)[number];

/** How answers teach by their advantages. Defaults are TRL's. */
export interface GrpoLossOptions {
  /** @default "dapo" */
  readonly loss?: GrpoLossName;
  /** What the distance from the reference costs. @default 0 */
  readonly beta?: number;
  /** How far a token may become less likely before its gradient ends. @default 0.2 */
  readonly epsilon?: number;
  /** How far it may become likelier; of cispo: the largest weight. @default epsilon */
  readonly epsilonHigh?: number;
  /** The largest ratio that is not clipped. @default none */
  readonly delta?: number;
  /** Logits are divided by it. @default 1 */
  readonly temperature?: number;
  /** Ratios token by token, or one for an answer: the mean of their logarithms (GSPO). @default "token" */
  readonly level?: "token" | "sequence";
  /** The distance from the reference is weighed by the ratio. @default true */
  readonly correctsKl?: boolean;
  /** The answers were written by the policy as it is: ratios are 1. @default false */
  readonly isOnPolicy?: boolean;
  /** Tokens of an answer at most: what dr_grpo divides by. @default 256 */
  readonly maxNewTokens?: number;
  /** Answers with a negative advantage do not count beyond this mean of log p_old - log p. @default none */
  readonly offPolicyThreshold?: number;
  /** The share of tokens, those with the largest entropy, that count. @default 1 */
  readonly topEntropyQuantile?: number;
  /** The mean entropy is rewarded: the column entropyCoef says how much. @default false */
  readonly rewardsEntropy?: boolean;
  /** The sampler's probabilities were others: the columns samplerRatios and samplerLogs. @default false */
  readonly hasSampler?: boolean;
  /** sapo, for positive and negative advantages. @default 1 and 1.05 */
  readonly sapoTemperatures?: readonly [number, number];
  /** vespo: k and lambda for positive advantages. @default 2 and 3 */
  readonly vespoPositive?: readonly [number, number];
  /** vespo: k and lambda for negative advantages. @default 3 and 2 */
  readonly vespoNegative?: readonly [number, number];
}

type Settings = Required<Omit<GrpoLossOptions, "delta" | "offPolicyThreshold">> &
  Pick<GrpoLossOptions, "delta" | "offPolicyThreshold">;

const perLabel: LossColumn = { dtype: "f32", per: "label" };
const perRow: LossColumn = { dtype: "f32", shape: ["batch"] };
const single: LossColumn = { dtype: "f32", shape: [1] };

/** Losses whose sum is divided by the tokens of all micro-batches of a step. */
const BY_WINDOW: ReadonlySet<GrpoLossName> = new Set(["dapo", "cispo", "vespo"]);

/**
 * Group relative policy optimization and its relatives. Labels are the answers' tokens that count. Each batch
 * counts 1: those of one step are averaged.
 * Reference: trl/trainer/grpo_trainer.py, _compute_loss
 */
export function grpoLoss(options: GrpoLossOptions = {}): Loss {
  const { epsilon = 0.2 } = options;
  const o: Settings = {
    ...{ loss: "dapo", beta: 0, epsilon, epsilonHigh: epsilon, temperature: 1, level: "token" },
    ...{ correctsKl: true, isOnPolicy: false, maxNewTokens: 256, topEntropyQuantile: 1 },
    ...{ rewardsEntropy: false, hasSampler: false, sapoTemperatures: [1, 1.05] },
    ...{ vespoPositive: [2, 3], vespoNegative: [3, 2] },
    ...options,
  };
  return {
    name: "grpo",
    key: `grpo ${JSON.stringify(Object.entries(o).sort())}`,
    columns: {
      ...labelColumn,
      advantages: perLabel,
      ...(!o.isOnPolicy && { oldLogProbs: perLabel }),
      ...(o.beta !== 0 && { referenceLogProbs: perLabel }),
      ...(o.hasSampler && (o.loss === "vespo" ? { samplerLogs: perRow } : { samplerRatios: perLabel })),
      ...(BY_WINDOW.has(o.loss) && { windowTokens: single }),
      ...(o.rewardsEntropy && { entropyCoef: single }),
    },
    write: (c) => write(c, o),
  };
}

/** What tokens have, [chunks, chunk], and rows, [batch]. */
interface Answers {
  readonly p: Tensor;
  readonly counts: Tensor;
  /** How many tokens each row has, at least 1. */
  readonly lengths: Tensor;
  readonly advantages: Tensor;
  /** log p - log p_old */
  readonly change: Tensor;
  /** p / p_old, of the token or of its whole answer. */
  readonly ratio: Tensor;
  readonly entropy: Tensor;
}

function write(c: LossContext, o: Settings): ReturnType<Loss["write"]> {
  const { g, column } = c;
  const a = answersOf(c, o);
  const shown = o.delta === undefined ? a.ratio : g.min(a.ratio, o.delta);
  const { each, metrics } = tokenLosses(c, o, a, shown);
  let loss = each;
  if (o.offPolicyThreshold !== undefined) loss = g.mul(loss, onPolicy(c, a, o.offPolicyThreshold));
  const chosen = o.topEntropyQuantile < 1 ? g.mul(a.counts, uncertain(c, o, a)) : a.counts;
  if (o.topEntropyQuantile < 1) loss = g.mul(loss, chosen);
  if (o.hasSampler && o.loss !== "vespo") loss = g.mul(loss, column("samplerRatios"));
  const kl = o.beta === 0 ? undefined : distance(c, o, a);
  if (kl !== undefined) loss = g.add(loss, g.mul(kl, o.beta));
  const policy = normalized(c, o, a, g.mul(loss, a.counts));
  const bonus = o.rewardsEntropy
    ? g.mul(meanOfTokens(c, a.entropy, chosen), g.sum(column("entropyCoef")))
    : undefined;
  return {
    sum: bonus === undefined ? policy : g.sub(policy, bonus),
    count: g.scalar(1),
    metrics: {
      ...metrics,
      entropy: meanOfTokens(c, a.entropy),
      ...(kl && { kl: meanOfTokens(c, kl) }),
      ...(bonus && { policy_loss: policy }),
    },
  };
}

function answersOf(c: LossContext, o: Settings): Answers {
  const { g, column } = c;
  const counts = isLabelled(c);
  const p = labelledLogProbs(c, o);
  const lengths = g.max(sumByRow(c, counts), 1);
  const change = g.sub(p, o.isOnPolicy ? g.detach(p) : column("oldLogProbs"));
  const level = o.level === "token" ? change : atLabelled(c, g.div(sumByRow(c, change), lengths));
  const entropy = o.rewardsEntropy ? entropyOf(c, o) : tokenStatistic(c, "entropy", o);
  return { p, counts, lengths, advantages: column("advantages"), change, ratio: g.exp(level), entropy };
}

/** The entropy of each token's distribution, with its gradient. */
function entropyOf(c: LossContext, o: Settings): Tensor {
  const { g } = c;
  const logs = g.logSoftmax(logitsOf(c, o));
  return g.neg(g.sum(g.mul(g.exp(logs), logs), -1));
}

/** k3, e^x - x - 1 with x = log q - log p, times the ratio. */
function distance({ g, column }: LossContext, o: Settings, { p, ratio }: Answers): Tensor {
  const x = g.sub(column("referenceLogProbs"), p);
  const k3 = g.sub(g.sub(g.exp(x), x), 1);
  return o.correctsKl ? g.mul(k3, ratio) : k3;
}

const within = (g: Graph, x: Tensor, low: number, high: number): Tensor => g.min(g.max(x, low), high);

/** Each token's loss, and the metrics of its kind. */
function tokenLosses(
  c: LossContext,
  o: Settings,
  a: Answers,
  shown: Tensor,
): { each: Tensor; metrics: Record<string, Tensor> } {
  const { g } = c;
  const { advantages: A, p, ratio } = a;
  const isPositive = g.less(0, A);
  if (o.loss === "cispo") {
    const weight = g.detach(g.min(ratio, o.epsilonHigh));
    const isCut = g.and(g.less(o.epsilonHigh, ratio), isPositive);
    return {
      each: g.neg(g.mul(g.mul(weight, A), p)),
      metrics: { cispo_clip_ratio: meanOver(c, o, a, isCut) },
    };
  }
  if (o.loss === "sapo") {
    const t = g.where(isPositive, g.scalar(o.sapoTemperatures[0]), g.scalar(o.sapoTemperatures[1]));
    const gate = g.div(g.mul(g.sigmoid(g.mul(t, g.sub(ratio, 1))), 4), t);
    return { each: g.neg(g.mul(gate, A)), metrics: {} };
  }
  if (o.loss === "vespo") return vespo(c, o, a);
  const clipped = within(g, ratio, 1 - o.epsilon, 1 + o.epsilonHigh);
  const each = g.neg(g.min(g.mul(shown, A), g.mul(clipped, A)));
  return { each, metrics: clipMetrics(c, o, a, shown) };
}

/** A gamma weight of the answer's whole ratio: e^(l + k W - l e^W), without a gradient. */
function vespo(c: LossContext, o: Settings, a: Answers): { each: Tensor; metrics: Record<string, Tensor> } {
  const { g, column } = c;
  const [least, most] = [Math.log(1e-8), 20];
  const own = sumByRow(c, g.mul(within(g, a.change, -most, most), a.counts));
  const whole = within(g, o.hasSampler ? g.add(own, column("samplerLogs")) : own, least, most); // [batch]
  const isNegative = g.less(rowAdvantages(c, a), 0);
  const pick = (i: 0 | 1): Tensor =>
    g.where(isNegative, g.scalar(o.vespoNegative[i]), g.scalar(o.vespoPositive[i]));
  const [k, lambda] = [pick(0), pick(1)];
  const exponent = g.sub(g.add(lambda, g.mul(k, whole)), g.mul(lambda, g.exp(whole)));
  const phi = g.detach(g.exp(exponent));
  return {
    each: g.neg(g.mul(g.mul(atLabelled(c, phi), a.advantages), a.p)),
    metrics: { "vespo/phi_seq_mean": g.mean(phi) },
  };
}

/** Each row's advantage, [batch]; 0 where no token of it counts. */
function rowAdvantages(c: LossContext, { advantages, counts, lengths }: Answers): Tensor {
  return c.g.div(sumByRow(c, c.g.mul(advantages, counts)), lengths);
}

/** The mean over tokens, or of a whole answer's over answers. */
function meanOver(c: LossContext, o: Settings, a: Answers, is: Tensor): Tensor {
  const { g } = c;
  const x = g.mul(g.cast(is, "f32"), a.counts);
  return o.level === "token" ? meanOfTokens(c, x) : g.mean(byRow(c, a, x));
}

/** The mean of a row's tokens, [batch]. */
function byRow(c: LossContext, { lengths }: Answers, x: Tensor): Tensor {
  return c.g.div(sumByRow(c, x), lengths);
}

function clipMetrics(c: LossContext, o: Settings, a: Answers, shown: Tensor): Record<string, Tensor> {
  const { g } = c;
  const isLow = g.and(g.less(shown, 1 - o.epsilon), g.less(a.advantages, 0));
  const isHigh = g.and(g.less(1 + o.epsilonHigh, shown), g.less(0, a.advantages));
  const [low, high] = [isLow, isHigh].map((is) => meanOver(c, o, a, is)) as [Tensor, Tensor];
  const rows = (is: Tensor): Tensor => byRow(c, a, g.mul(g.cast(is, "f32"), a.counts));
  // rows of which no token counts are not the least
  const isEmpty = g.less(sumByRow(c, a.counts), 0.5);
  const least = g.neg(g.amax(g.neg(g.where(isEmpty, g.scalar(1), rows(isLow)))));
  return {
    "clip_ratio/low_mean": low,
    "clip_ratio/high_mean": high,
    "clip_ratio/region_mean": g.add(low, high),
    "clip_ratio/low_min": least,
    "clip_ratio/high_max": g.amax(rows(isHigh)),
  };
}

/** 0 at answers to be made less likely that are so already, else 1. */
function onPolicy(c: LossContext, a: Answers, threshold: number): Tensor {
  const { g } = c;
  const drift = atLabelled(c, byRow(c, a, g.neg(g.detach(a.change))));
  const isGone = g.and(g.less(a.advantages, 0), g.less(threshold, drift));
  return g.cast(g.not(isGone), "f32");
}

/** 1 at tokens whose entropy is among the largest ones of the batch, by a quantile between neighbours. */
function uncertain(c: LossContext, o: Settings, { entropy, counts }: Answers): Tensor {
  const { g } = c;
  const own = g.detach(entropy);
  const flat = g.squeeze(g.rows(g.unsqueeze(g.where(g.less(0, counts), own, -1), -1)), -1);
  const sorted = g.gather(flat, g.topK(flat, dimAt(flat.shape, 0))); // largest first
  const place = g.mul(g.sub(g.sum(counts), 1), o.topEntropyQuantile);
  const before = g.cast(place, "i64");
  const next = g.min(g.add(before, 1), g.sub(g.size(dimAt(flat.shape, 0), "i64"), 1));
  const [high, low] = [g.gather(sorted, before), g.gather(sorted, next)];
  const part = g.sub(place, g.cast(before, "f32"));
  const level = g.where(g.less(0, part), g.add(high, g.mul(part, g.sub(low, high))), high);
  return g.cast(g.lessEqual(level, own), "f32");
}

/** The loss of a batch of its tokens' losses. */
function normalized(c: LossContext, o: Settings, a: Answers, each: Tensor): Tensor {
  const { g, column } = c;
  const rows = g.size("batch");
  switch (o.loss) {
    case "grpo":
    case "sapo":
      return g.div(g.sum(byRow(c, a, each)), rows);
    case "bnpo":
      return g.div(g.sum(each), g.max(g.sum(a.counts), 1));
    case "dr_grpo":
      return g.div(g.sum(each), g.mul(rows, o.maxNewTokens));
    case "luspo":
      return g.div(g.sum(each), rows);
    default:
      return g.div(g.sum(each), g.sum(column("windowTokens")));
  }
}
