import type { Loss } from "../losses/loss.js";
import { type PpoLossOptions, ppoPolicyLoss, ppoValueLoss } from "../losses/ppo.js";
import type { PeftModel } from "../peft/peft_model.js";
import { at } from "../present.js";
import type { TextBatch } from "../trace/feeds.js";
import { type AdvantageOptions, advantagesOf, rolloutMetrics } from "./advantages.js";
import {
  cutResponse,
  type Episode,
  type Experience,
  frameOf,
  gathered,
  lastTokenOf,
  rankedRows,
  rowsOfEpisodes,
} from "./episodes.js";

/** An adapter of a model: of several that stand over one base, or each of a model of its own. */
export interface Part {
  readonly model: PeftModel;
  readonly adapter: string;
}

/** Who takes part in PPO. The reference is the policy's base, without adapters. */
export interface PpoParts {
  /** Writes answers: CAUSAL_LM. */
  readonly policy: Part;
  /** Says what an answer will be worth, at every token: SEQ_CLS with one label. */
  readonly critic: Part;
}

/** How PPO learns. Defaults are TRL's. */
export interface PpoOptions extends AdvantageOptions, PpoLossOptions {
  /** What a response without an end token loses. @default 0 */
  readonly missingEosPenalty?: number | undefined;
}

/** Scores of rows that were cut after their last token. */
export type Judge = (rows: TextBatch<"SEQ_CLS">, episodes: readonly Episode[]) => Promise<readonly number[]>;

/** A ranker, as a judge. */
export function judgeOf({ model, adapter }: Part): Judge {
  return async (rows) => [...(await model.scores(rows, { adapters: [adapter] }))];
}

/** TRL's: what logits are divided by. */
const temperatureOf = ({ temperature = 1 }: PpoOptions): number => temperature + 1e-7;

/** What episodes are worth, before the first step that learns from them. */
export async function experienceOf(
  { policy, critic }: PpoParts,
  episodes: readonly Episode[],
  judge: Judge,
  ends: readonly number[],
  options: PpoOptions = {},
): Promise<{ readonly experience: Experience; readonly metrics: Readonly<Record<string, number>> }> {
  const frame = frameOf(episodes);
  const rows = rowsOfEpisodes(episodes, frame);
  const cut = episodes.map((episode) => cutResponse(episode, ends));
  const lastTokens = cut.map(lastTokenOf);
  const judged = episodes.map(({ prompt }, row) => ({
    prompt,
    response: at(cut, row).slice(0, at(lastTokens, row) + 1),
  }));
  const said = await judge(rankedRows(rowsOfEpisodes(judged, frame)), judged);
  const { missingEosPenalty = 0 } = options;
  const hasEnd = cut.map((response) => ends.includes(response.at(-1) ?? NO_END));
  const scores = said.map((score, row) => score - (at(hasEnd, row) ? 0 : missingEosPenalty));
  const temperature = temperatureOf(options);
  const own = await policy.model.logProbs(rows, { temperature, adapters: [policy.adapter] });
  const reference = await policy.model.logProbs(rows, { temperature, adapters: [] });
  const values = await critic.model.tokenScores(rankedRows(rows), { adapters: [critic.adapter] });
  const of = (data: Float32Array, shift = 0): Float32Array[] =>
    gathered({ data }, episodes.length, frame, shift);
  const logProbs = of(own.tokens.data);
  const rollout = {
    ...{ logProbs, referenceLogProbs: of(reference.tokens.data), values: of(values.data, 1) },
    ...{ scores, lastTokens },
  };
  const learnt = advantagesOf(rollout, options);
  const metrics = {
    ...rolloutMetrics(rollout, learnt, options),
    "val/num_eos_tokens": episodes.flatMap(({ response }) => response).filter((id) => ends.includes(id))
      .length,
  };
  return { experience: { episodes, frame, lastTokens, logProbs, learnt }, metrics };
}

const NO_END = -1;

/** PPO's two halves, as the parts learn them. */
export interface PpoLosses {
  readonly policy: Loss;
  readonly critic: Loss;
}

export function ppoLosses(options: PpoOptions): PpoLosses {
  return {
    policy: ppoPolicyLoss({ ...options, temperature: temperatureOf(options) }),
    critic: ppoValueLoss(options),
  };
}

/** What a pass over some rows of an experience said. */
export interface PpoPass {
  readonly loss: number;
  readonly metrics: Readonly<Record<string, number>>;
}

/** Adds the gradients of both halves' losses to the parts' parameters: the mean of a batch counts as one. */
export async function ppoPass(
  { policy, critic }: PpoParts,
  batch: TextBatch<"CAUSAL_LM">,
  losses: PpoLosses,
): Promise<PpoPass> {
  const pass = { training: false };
  const own = await policy.model.forwardBackward(batch, {
    ...pass,
    loss: losses.policy,
    adapters: [policy.adapter],
  });
  const values = { ...rankedRows(batch), ...(batch.columns && { columns: batch.columns }) };
  const valued = await critic.model.forwardBackward(values, {
    ...pass,
    loss: losses.critic,
    adapters: [critic.adapter],
  });
  return { loss: own.loss + valued.loss, metrics: { ...own.metrics, ...valued.metrics } };
}
