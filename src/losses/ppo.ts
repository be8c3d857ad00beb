import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import { isLabelled, labelColumn, labelledLogProbs, tokenStatistic } from "./log_probs.js";
import type { Loss, LossColumn } from "./loss.js";

/** What PPO's two losses are told. */
export interface PpoLossOptions {
  /** How far a token's probability may move before its gradient ends. @default 0.2 */
  readonly cliprange?: number;
  /** How far a value may move. @default 0.2 */
  readonly cliprangeValue?: number;
  /** The weight of the critic's loss. @default 0.1 */
  readonly vfCoef?: number;
  /** Logits are divided by it. @default 1 */
  readonly temperature?: number;
}

const perLabel: LossColumn = { dtype: "f32", per: "label" };
const perToken: LossColumn = { dtype: "f32", shape: ["batch", "seq"] };

/** The mean of x over the places that `counts` says 1 of. */
const meanOver = (g: Graph, x: Tensor, counts: Tensor): Tensor =>
  g.div(g.sum(g.mul(x, counts)), g.sum(counts));

/** x clamped: what is inside stays equal, to the bit. */
const within = (g: Graph, x: Tensor, low: Tensor | number, high: Tensor | number): Tensor =>
  g.min(g.max(x, low), high);

/** The share of counted places where x is the larger one. */
const shareOf = (g: Graph, x: Tensor, than: Tensor, counts: Tensor): Tensor =>
  meanOver(g, g.cast(g.less(than, x), "f32"), counts);

/**
 * Proximal policy optimization (arXiv 1707.06347), the policy's half:
 * mean over a response's tokens of max(-A rho, -A clamp(rho, 1 - e, 1 + e)), rho = p / p of when it was
 * written. Labels are all places of responses; those behind a last token count in nothing but metrics.
 * Reference: trl/experimental/ppo/ppo_trainer.py
 */
export function ppoPolicyLoss({ cliprange = 0.2, temperature = 1 }: PpoLossOptions = {}): Loss {
  return {
    name: "ppo policy",
    key: `ppo policy ${cliprange} ${temperature}`,
    columns: {
      ...labelColumn,
      isToken: perLabel,
      oldLogProbs: perLabel,
      advantages: perLabel,
    },
    write: (c) => {
      const { g, column } = c;
      const isToken = column("isToken");
      const isPlace = isLabelled(c);
      const change = g.mul(g.sub(labelledLogProbs(c, { temperature }), column("oldLogProbs")), isToken);
      const ratio = g.exp(change);
      const gain = g.neg(column("advantages"));
      const free = g.mul(gain, ratio);
      const clipped = g.mul(gain, within(g, ratio, 1 - cliprange, 1 + cliprange));
      const loss = meanOver(g, g.max(free, clipped), isToken);
      return {
        sum: loss,
        count: g.scalar(1),
        metrics: {
          "loss/policy": loss,
          "policy/approxkl": g.mul(meanOver(g, g.square(change), isPlace), 0.5),
          "policy/clipfrac": shareOf(g, clipped, free, isToken),
          "policy/entropy": meanOver(g, tokenStatistic(c, "entropy", { temperature }), isPlace),
          "val/ratio": meanOver(g, ratio, isPlace),
        },
      };
    },
  };
}

/**
 * The critic's half: vfCoef / 2 times the mean over states of max((v - R)^2, (v' - R)^2), v' = v within
 * cliprangeValue of what it was. The value before a token is read at the place before it.
 */
export function ppoValueLoss({ cliprangeValue = 0.2, vfCoef = 0.1 }: PpoLossOptions = {}): Loss {
  return {
    name: "ppo value",
    key: `ppo value ${cliprangeValue} ${vfCoef}`,
    columns: { isState: perToken, oldValues: perToken, returns: perToken },
    write: ({ g, logits, column }) => {
      const values = g.squeeze(logits("every token"), -1); // [batch, seq]
      const [isState, old, returns] = [column("isState"), column("oldValues"), column("returns")];
      const near = within(g, values, g.sub(old, cliprangeValue), g.add(old, cliprangeValue));
      const free = g.square(g.sub(values, returns));
      const clipped = g.square(g.sub(near, returns));
      const loss = g.mul(meanOver(g, g.max(free, clipped), isState), 0.5);
      return {
        sum: g.mul(loss, vfCoef),
        count: g.scalar(1),
        metrics: { "loss/value": loss, "val/clipfrac": shareOf(g, clipped, free, isState) },
      };
    },
  };
}
