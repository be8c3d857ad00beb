import { at } from "../present.js";

/** Numbers of responses, [rows][tokens]: each row as long as the longest response. */
export type Table = readonly Float32Array[];

/** What responses got, place by place. */
export interface Rollout {
  /** log p of each token, of the policy that wrote it and of its reference. */
  readonly logProbs: Table;
  readonly referenceLogProbs: Table;
  /** What the critic says before each token. */
  readonly values: Table;
  /** The reward of each response. */
  readonly scores: readonly number[];
  /** The place of each response's last token; -1: it has none. */
  readonly lastTokens: readonly number[];
}

/** How rewards become advantages. */
export interface AdvantageOptions {
  /** How much a token's distance from the reference costs. @default 0.05 */
  readonly klCoef?: number;
  /** k1: log p - log q; k3: q / p - 1 + log p - log q, which is never negative. @default "k1" */
  readonly klEstimator?: "k1" | "k3";
  /** How much less later rewards are worth. @default 1 */
  readonly gamma?: number;
  /** How far an advantage looks past the critic's next value. @default 0.95 */
  readonly lam?: number;
  /** Divide rewards by their standard deviation. @default false */
  readonly whitenRewards?: boolean;
}

/** What a policy and a critic learn from a rollout, place by place. */
export interface Advantages {
  readonly kl: Table;
  readonly rewards: Table;
  /** Zero behind a response's last token. */
  readonly advantages: Table;
  readonly returns: Table;
  /** The critic's values: zero behind the place after the last token. */
  readonly values: Table;
}

const NOTHING: ReadonlyArray<number> = [];

/**
 * Advantages of responses by generalized advantage estimation (arXiv 1506.02438), whitened:
 * d_t = r_t + gamma V_(t+1) - V_t; A_t = d_t + gamma lam A_(t+1); return_t = A_t + V_t.
 * A token's reward is -klCoef kl; the response's score comes at the place after its last token.
 * Reference: trl/experimental/ppo/ppo_trainer.py, train
 */
export function advantagesOf(rollout: Rollout, options: AdvantageOptions = {}): Advantages {
  const { klCoef = 0.05, klEstimator = "k1", gamma = 1, lam = 0.95, whitenRewards = false } = options;
  const { logProbs, referenceLogProbs, scores, lastTokens } = rollout;
  const kl = logProbs.map((own, row) =>
    own.map((p, t) => {
      if (t > at(lastTokens, row)) return 0;
      const difference = p - at(at(referenceLogProbs, row), t);
      return klEstimator === "k1" ? difference : Math.expm1(-difference) + difference;
    }),
  );
  const values = rollout.values.map((own, row) => own.map((v, t) => (t > at(lastTokens, row) + 1 ? 0 : v)));
  const plain = kl.map((own, row) => {
    const rewards = own.map((k) => -klCoef * k);
    const end = Math.min(at(lastTokens, row) + 1, rewards.length - 1);
    rewards[end] = at(rewards, end) + at(scores, row);
    return rewards;
  });
  const states = lastTokens.map((last) => last + 1);
  const rewards = whitenRewards ? whitened(plain, states, true) : plain;
  const raw = rewards.map((own, row) => estimate(own, at(values, row), gamma, lam));
  const returns = raw.map((own, row) => own.map((a, t) => a + at(at(values, row), t)));
  return { kl, rewards, advantages: whitened(raw, lastTokens, false), returns, values };
}

function estimate(rewards: Float32Array, values: Float32Array, gamma: number, lam: number): Float32Array {
  const advantages = new Float32Array(rewards.length);
  let next = 0;
  for (let t = rewards.length - 1; t >= 0; t--) {
    const delta = at(rewards, t) + gamma * (values[t + 1] ?? 0) - at(values, t);
    next = delta + gamma * lam * next;
    advantages[t] = next;
  }
  return advantages;
}

/**
 * Numbers up to each row's last place, with mean 0 (or their own) and a standard deviation of 1; zeros behind
 * them.
 */
function whitened(table: Table, lasts: readonly number[], keepsMean: boolean): Table {
  const counted = table.flatMap((own, row) => [...own.subarray(0, at(lasts, row) + 1)]);
  const mean = meanOf(counted);
  const variance = counted.reduce((sum, x) => sum + (x - mean) ** 2, 0) / Math.max(1, counted.length - 1);
  const scale = 1 / Math.sqrt(variance + 1e-8);
  const shift = keepsMean ? mean : 0;
  return table.map((own, row) => own.map((x, t) => (t > at(lasts, row) ? 0 : (x - mean) * scale + shift)));
}

export function meanOf(numbers: readonly number[] = NOTHING): number {
  return numbers.reduce((sum, x) => sum + x, 0) / Math.max(1, numbers.length);
}

/** What TRL calls the figures of a rollout. */
export function rolloutMetrics(
  { logProbs, scores, lastTokens }: Rollout,
  { kl }: Advantages,
  { klCoef = 0.05 }: AdvantageOptions,
): Record<string, number> {
  const sums = (table: Table): number => meanOf(table.map((own) => own.reduce((a, b) => a + b, 0)));
  const entropies = logProbs.map((own, row) => own.map((p, t) => (t > at(lastTokens, row) ? 0 : -p)));
  const cost = -klCoef * sums(kl);
  return {
    "objective/kl": sums(kl),
    "objective/entropy": sums(entropies),
    "objective/non_score_reward": cost,
    "objective/rlhf_reward": cost + meanOf(scores),
    "objective/scores": meanOf(scores),
  };
}
