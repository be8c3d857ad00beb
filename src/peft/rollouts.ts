import type { Adapter } from "../adapters/adapter.js";
import type { View } from "../adapters/view.js";
import type { NamesOf } from "../arguments.js";
import { expectArgument } from "../arguments.js";
import { PeftError } from "../errors.js";
import type { GenerationConfig } from "../generate/config.js";
import { resolveGeneration } from "../generate/resolve.js";
import type { Rollout } from "../generate/rollouts.js";
import { sampleRollouts } from "../generate/rollouts.js";
import type { Rule } from "../generate/rule.js";
import { minP, topK, topP } from "../generate/warpers.js";
import type { Runtime } from "../run/runtime.js";
import { makeRowStepper } from "../run/stepper.js";
import { option, words } from "../words.js";
import { checkGenerates, type Generator } from "./generate.js";

/** How answers are sampled. */
export interface RolloutSettings {
  /** Answers to each prompt. @default 1 */
  readonly generations?: number;
  /** Tokens of an answer, at most. @default 256 */
  readonly maxNewTokens?: number;
  /** Scores are divided by it. @default 1 */
  readonly temperature?: number;
  /** The likeliest tokens that are drawn from; 0: all. @default 0 */
  readonly topK?: number;
  /** The share of probability that is drawn from. @default 1 */
  readonly topP?: number;
  /** Tokens less than so many times as likely as the likeliest one are not drawn. @default none */
  readonly minP?: number;
  /** What an answer ends with. @default as generation_config.json says */
  readonly eosTokenId?: number | readonly number[];
  /** Answers that are sampled side by side. @default 64 */
  readonly rows?: number;
  /** Seed of sampling. @default 0 */
  readonly seed?: number;
  /** The number of the first answer, by which random numbers are drawn. @default 0 */
  readonly first?: number;
  /** Ends the call at the next token: it throws "aborted". */
  readonly signal?: AbortSignal | undefined;
  /** Hears of each answer when it is there, while others are still sampled. */
  readonly onRollout?: (rollout: Rollout) => void;
}

export const rolloutNames: NamesOf<RolloutSettings> = {
  generations: { also: ["numGenerations"] },
  maxNewTokens: { also: ["maxCompletionLength"] },
  temperature: {},
  topK: {},
  topP: {},
  minP: {},
  eosTokenId: {},
  rows: {},
  seed: {},
  first: {},
  signal: {},
  onRollout: {},
};

/** Tokens of prompts, one row each, without padding. */
export type RolloutPrompts = readonly (readonly number[])[];

const DEFAULTS = { generations: 1, maxNewTokens: 256, temperature: 1, topK: 0, topP: 1, rows: 64 };

/** Plans the memory of sampling that is called now. Throws "generation", "option", "batch". */
export function planRollouts(
  model: Generator,
  runtime: Runtime,
  adapters: readonly Adapter[],
  prompts: RolloutPrompts,
  settings: RolloutSettings,
): Promise<void> {
  checkPrompts(model, prompts);
  const { generations, maxNewTokens, rows } = { ...DEFAULTS, ...settings };
  checkCounts({ generations, maxNewTokens, rows });
  const seq = longest(prompts);
  checkLength(model, seq, maxNewTokens);
  const batch = Math.min(rows, prompts.length * generations);
  return runtime.planAhead(adapters, { batch, seq, target: maxNewTokens }, "generation");
}

/** Samples answers with the adapters of a view, in the order of prompts and their copies. */
export async function rolloutsWith(
  model: Generator,
  runtime: Runtime,
  view: View,
  prompts: RolloutPrompts,
  settings: RolloutSettings,
): Promise<Rollout[]> {
  const { onRollout, signal, seed = 0, first = 0, ...said } = settings;
  const { generations, maxNewTokens, rows, ...warps } = { ...DEFAULTS, ...said };
  const { generationConfig } = model;
  const config: GenerationConfig = {
    ...{ doSample: true, maxNewTokens, temperature: warps.temperature, topK: warps.topK, topP: warps.topP },
    ...(said.minP === undefined ? {} : { minP: said.minP }),
    eosTokenId: said.eosTokenId === undefined ? generationConfig.eosTokenId : [said.eosTokenId].flat(),
  };
  const stepper = makeRowStepper(runtime, view, paddedPrompts(prompts));
  const decoding = resolveGeneration(config, {
    promptLength: longest(prompts),
    vocabSize: stepper.vocabSize,
    source: model.generationSource,
    given: config,
  });
  return sampleRollouts({
    ...{ stepper, decoding, prompts, generations, maxNewTokens, rows, seed, first, signal, onRollout },
    rules: warpersOf(decoding),
  });
}

function warpersOf(decoding: ReturnType<typeof resolveGeneration>): Rule[] {
  const rules: Rule[] = [];
  if (decoding.topK > 0) rules.push(topK(decoding.topK));
  if (decoding.topP < 1) rules.push(topP(decoding.topP));
  if (decoding.minP !== null) rules.push(minP(decoding.minP));
  return rules;
}

function longest(prompts: RolloutPrompts): number {
  return Math.max(...prompts.map(({ length }) => length));
}

/** Prompts in a table, padded on the left. */
function paddedPrompts(prompts: RolloutPrompts): {
  ids: number[][];
  mask: number[][];
  start: undefined;
} {
  const width = longest(prompts);
  const before = (row: readonly number[]): number[] => new Array<number>(width - row.length).fill(0);
  return {
    ids: prompts.map((row) => [...before(row), ...row]),
    mask: prompts.map((row) => [...before(row), ...row.map(() => 1)]),
    start: undefined,
  };
}

function checkPrompts({ taskType, config }: Generator, prompts: RolloutPrompts): void {
  checkGenerates(taskType);
  expectArgument("rollouts", prompts, {
    is: Array.isArray(prompts) && prompts.every((row) => Array.isArray(row) && row.every(Number.isInteger)),
    wants: "tokens of prompts, row by row",
    fix: "encode them: model.rollouts(tokenizer(texts).inputIds).",
  });
  if (config.encoderDecoder)
    throw new PeftError("generation", {
      what: `A ${config.modelType} model writes with a decoder of its own.`,
      why: "answers for training are sampled of models that continue their prompt.",
      fix: "use a decoder (llama, qwen2, gpt2, ...), or generate() with doSample.",
    });
  const empty = prompts.findIndex((row) => row.length === 0);
  const beyond = prompts.flat().find((id) => id < 0 || id >= config.vocabSize);
  if (prompts.length > 0 && empty < 0 && beyond === undefined) return;
  throw new PeftError("batch", {
    what:
      beyond !== undefined
        ? `Token id ${beyond} is in a prompt.`
        : prompts.length === 0
          ? "There is no prompt."
          : `Prompt ${empty} is empty.`,
    why:
      beyond === undefined
        ? "an answer continues a prompt."
        : `the vocabulary has ${config.vocabSize} tokens.`,
    fix: "encode prompts with this model's own tokenizer; an empty one may be its first token.",
  });
}

function checkCounts(counts: Readonly<Record<"generations" | "maxNewTokens" | "rows", number>>): void {
  for (const [name, value] of Object.entries(counts))
    if (!Number.isInteger(value) || value < 1 || value > 2 ** 20)
      throw new PeftError("option", {
        what: words`${option(name, value)}.`,
        why: "it is a whole number of at least 1.",
        fix: words`say ${option(name, 8)}.`,
      });
}

function checkLength(model: Generator, prompt: number, maxNewTokens: number): void {
  const { restartAt } = model.config;
  const positions = model.configJson["max_position_embeddings"] ?? model.configJson["n_positions"];
  const total = prompt + maxNewTokens;
  const isTooLong = typeof positions === "number" && total > positions;
  if (!isTooLong && (restartAt === undefined || total <= restartAt)) return;
  throw new PeftError("generation", {
    what: words`A prompt of ${prompt} tokens with ${option("maxNewTokens", maxNewTokens)} is ${total} tokens.`,
    why: isTooLong
      ? `the model has positions for ${positions}.`
      : `this model turns its keys otherwise beyond ${restartAt}, which rows that come and go would do at different times.`,
    fix: words`shorten prompts, or set ${option("maxNewTokens", Math.max(1, (isTooLong ? positions : (restartAt ?? total)) - prompt))}.`,
  });
}
