import { join } from "node:path";
import type { BatchColumn } from "../../../src/data/batch.js";
import { type GrpoLossOptions, grpoLoss } from "../../../src/losses/grpo.js";
import type { PeftModel } from "../../../src/peft/peft_model.js";
import {
  type GroupAdvantages,
  groupAdvantages,
  lengthMetrics,
  type RewardRow,
  rewardMetrics,
} from "../../../src/rlhf/group_advantages.js";
import { samplerLogs, samplerMetrics, samplerRatios } from "../../../src/rlhf/sampler_ratios.js";
import type { TextBatch } from "../../../src/trace/feeds.js";
import { AdamW } from "../../../src/train/adamw.js";
import { learningRate } from "../../../src/train/schedules.js";
import { json } from "../files.js";
import { type Check, Expected, type Numbers } from "../tensors.js";
import { kitName } from "../training.js";
import { floats, ids, known } from "./batches.js";
import {
  type Config,
  checkWeights,
  number,
  numeric,
  type RlhfMethod,
  type Run,
  type Variant,
} from "./variant.js";

export interface Given {
  readonly completion_ids: readonly (readonly number[])[];
  readonly rewards: readonly RewardRow[];
}

/** Rows of prompts on the left, completions on the right. */
interface Rows {
  readonly batch: TextBatch<"CAUSAL_LM">;
  readonly rows: number;
  /** Tokens of a completion, with padding. */
  readonly width: number;
  /** 1 at completions' tokens that count, [rows, width] */
  readonly counts: Int32Array;
}

export function rowsOf({ expected, file }: Variant): Rows {
  const of = (name: string): ReturnType<typeof ids> => ids(expected.get(`${file.batch}.${name}`));
  const [prompt, completion] = [of("prompt_ids"), of("completion_ids")];
  const [seen, written] = [of("prompt_mask"), of("completion_mask")];
  const own = expected.has(`${file.batch}.tool_mask`) ? of("tool_mask").data : undefined;
  const [rows, left] = prompt.shape;
  const [, width] = completion.shape;
  const counts = written.data.map((one, i) => one * (own?.[i] ?? 1));
  const beside = (a: Int32Array, b: Int32Array): Int32Array =>
    Int32Array.from({ length: rows * (left + width) }, (_, i) => {
      const [row, column] = [Math.floor(i / (left + width)), i % (left + width)];
      return column < left ? (a[row * left + column] ?? 0) : (b[row * width + column - left] ?? 0);
    });
  const shape: [number, number] = [rows, left + width];
  const learnt = completion.data.map((id, i) => (counts[i] === 1 ? id : -100));
  const batch: TextBatch<"CAUSAL_LM"> = {
    task: "CAUSAL_LM",
    inputIds: { data: beside(prompt.data, completion.data), shape },
    attentionMask: { data: beside(seen.data, written.data), shape },
    labels: { data: beside(new Int32Array(rows * left).fill(-100), learnt), shape },
  };
  return { batch, rows, width, counts };
}

/** Numbers of whole rows, of completions alone: [rows, width] */
export function completions({ rows, width }: Rows, { data }: Numbers): Float32Array {
  const whole = data.length / rows;
  return Float32Array.from({ length: rows * width }, (_, i) => {
    const [row, column] = [Math.floor(i / width), i % width];
    return Number(data[row * whole + whole - width + column]);
  });
}

/** The same with zeros on their left. */
export function beforePrompt({ batch, rows, width }: Rows, values: ArrayLike<number>): BatchColumn {
  const [, whole] = batch.inputIds.shape;
  const data = Float32Array.from({ length: rows * whole }, (_, i) => {
    const column = (i % whole) - (whole - width);
    return column < 0 ? 0 : (values[Math.floor(i / whole) * width + column] ?? 0);
  });
  return { data, shape: [rows, whole] };
}

/** Runs with the weights of adapter_old. */
async function atOld<R>({ model, folder }: Variant, run: () => Promise<R>): Promise<R> {
  const old = await Expected.open(join(folder, "adapter_old.safetensors"));
  const adapter = model.activeAdapter;
  const entries = [...adapter.entries.values()];
  const now = entries.map(({ data }) => data.slice());
  for (const { key, data } of entries)
    data.set(old.get(kitName(adapter, key))?.data ?? missing(kitName(adapter, key)));
  adapter.state.touch();
  try {
    return await run();
  } finally {
    for (const [i, { data }] of entries.entries()) data.set(now[i] ?? []);
    adapter.state.touch();
  }
}

function missing(key: string): never {
  throw new Error(`adapter_old.safetensors lacks ${key}`);
}

/** What both trainers' variants begin with. */
export async function scored(v: Variant, given: Given) {
  const r = rowsOf(v);
  const temperature = numeric(v.config, "temperature") ?? 1;
  const logProbs = async (model: PeftModel): Promise<Float32Array> =>
    completions(r, (await model.logProbs(r.batch, { temperature })).tokens);
  const old = await atOld(v, () => logProbs(v.model));
  const reference = await v.model.disableAdapter(() => logProbs(v.model));
  const answers = given.completion_ids.map((row, i) => ({
    ids: v.expected.has(`${v.file.batch}.tool_mask`)
      ? row.filter((_, j) => r.counts[i * r.width + j] === 1)
      : row,
    isEnded: row.at(-1) === 2,
  }));
  return { r, temperature, logProbs, old, reference, answers };
}

export function scoringChecks(v: Variant, found: Readonly<Record<string, number>>): Check[] {
  const wanted = (v.json["scoring.metrics"] ?? {}) as Record<string, number>;
  return Object.entries(wanted).map(([key, value]) =>
    number(`scoring.${key}`, found[key] ?? Number.NaN, value),
  );
}

export const weightsOf = (config: Config): readonly number[] | undefined => {
  const weights = config["reward_weights"];
  return Array.isArray(weights) ? weights : undefined;
};

export function rewardNames(rewards: readonly RewardRow[]): string[] {
  return (rewards[0] ?? []).map((_, i) => `reward${i}`);
}

export function grpoAdvantages(rewards: readonly RewardRow[], config: Config): GroupAdvantages {
  return groupAdvantages(rewards, {
    generations: numeric(config, "num_generations") ?? 8,
    rewardWeights: weightsOf(config),
    scaleRewards: (config["scale_rewards"] ?? "group") as "group",
    normalizeThenSum: config["multi_objective_aggregation"] === "normalize_then_sum",
  });
}

function grpoOptions(config: Config): GrpoLossOptions {
  const of = (key: string): number | undefined => numeric(config, key);
  const both = (kind: "pos" | "neg"): readonly number[] | undefined =>
    of(`vespo_k_${kind}`) === undefined
      ? undefined
      : [of(`vespo_k_${kind}`) ?? 0, of(`vespo_lambda_${kind}`) ?? 0];
  const temperatures = [of("sapo_temperature_pos"), of("sapo_temperature_neg")];
  return known<GrpoLossOptions>({
    ...{
      loss: config["loss_type"],
      beta: of("beta"),
      epsilon: of("epsilon"),
      epsilonHigh: of("epsilon_high"),
    },
    ...{ delta: of("delta"), temperature: of("temperature"), level: config["importance_sampling_level"] },
    ...{ correctsKl: config["use_bias_correction_kl"], isOnPolicy: of("num_iterations") === 1 },
    ...{ maxNewTokens: of("max_completion_length"), offPolicyThreshold: of("off_policy_mask_threshold") },
    ...{
      topEntropyQuantile: of("top_entropy_quantile"),
      vespoPositive: both("pos"),
      vespoNegative: both("neg"),
    },
    rewardsEntropy: of("entropy_coef") !== undefined,
    hasSampler: config["vllm_importance_sampling_mode"] !== undefined,
    sapoTemperatures: temperatures[0] === undefined ? undefined : temperatures,
  });
}

async function prepare(v: Variant): Promise<Run> {
  const { config, expected, model } = v;
  const given = json<{ given: Given }>(v.folder, "case.json").given;
  const { r, temperature, logProbs, old, reference, answers } = await scored(v, given);
  const found = grpoAdvantages(given.rewards, config);
  const parts = numeric(config, "gradient_accumulation_steps") ?? 1;
  const tokens = r.counts.reduce((a, b) => a + b, 0);
  const sampling = samplingOf(v, r, old);
  const loss = grpoLoss(grpoOptions(config));
  const columns = {
    advantages: floats(found.advantages),
    oldLogProbs: beforePrompt(r, old),
    referenceLogProbs: beforePrompt(r, reference),
    windowTokens: floats([tokens / parts]),
    ...(sampling && { samplerRatios: sampling.ratios, samplerLogs: sampling.logs }),
  };
  const entropy = new EntropyCoef(config);
  const pass: Run["pass"] = async () => {
    const all = { ...columns, entropyCoef: floats([entropy.now]) };
    const said = [];
    for (let part = 0; part < parts; part++) {
      const own = slice({ ...r.batch, columns: all }, (part * r.rows) / parts, ((part + 1) * r.rows) / parts);
      said.push(await model.forwardBackward(own, { loss, training: false }));
    }
    const [first] = said;
    if (first === undefined) throw new Error("no part of a batch");
    entropy.step(first.metrics?.["entropy"] ?? 0);
    const losses = said.map(({ loss }) => loss / parts);
    return { ...first, losses, metrics: { ...first.metrics, entropy_coef: entropy.coef } };
  };
  return {
    pass,
    begin: () => entropy.begin(),
    checks: () =>
      scoringChecks(v, {
        ...rewardMetrics(
          given.rewards,
          found,
          rewardNames(given.rewards),
          numeric(config, "num_generations") ?? 8,
        ),
        ...lengthMetrics(answers),
        ...zeroStd(config, given.rewards, found),
        ...sampling?.metrics,
      }),
    values: async () => {
      const now = await logProbs(model);
      const { entropies } = await model.logProbs(r.batch, { temperature, entropies: true });
      const like = (key: string, values: ArrayLike<number>): Numbers => {
        const wanted = expected.get(`${v.name}.${key}`)?.data ?? [];
        const data = Array.from(values, (x, i) => (r.counts[i] === 1 ? x : Number(wanted[i] ?? 0)));
        return { shape: [r.rows, r.width], data };
      };
      // what stands between these and the loss is checked by the loss and its gradient
      for (const key of [
        "coef_1",
        "per_token_loss",
        "per_token_kl",
        "phi_seq",
        "entropy_mask",
        "off_policy_mask",
      ])
        expected.get(`${v.name}.${key}`);
      return {
        advantages: floats(found.advantages),
        per_token_logps: like("per_token_logps", now),
        old_per_token_logps: like("old_per_token_logps", old),
        ref_per_token_logps: like("ref_per_token_logps", reference),
        ...(entropies && { entropies: like("entropies", completions(r, entropies)) }),
        ...(sampling && { importance_sampling_ratio: sampling.raw }),
      };
    },
  };
}

/** TRL counts groups by the deviation that it divides by. */
export function zeroStd(
  config: Config,
  rewards: readonly RewardRow[],
  found: GroupAdvantages,
): Record<string, number> {
  const isByGroup =
    config["scale_rewards"] !== "batch" && config["multi_objective_aggregation"] !== "normalize_then_sum";
  if (isByGroup) return {};
  const { reward_std = 0 } = rewardMetrics(rewards, found, [], 1);
  return { frac_reward_zero_std: reward_std === 0 ? 1 : 0 };
}

/** The sampler's ratios, as the variant's mode limits them. */
function samplingOf({ config, expected, file }: Variant, r: Rows, old: Float32Array) {
  const mode = config["vllm_importance_sampling_mode"];
  if (typeof mode !== "string") return undefined;
  const [level, limit] = mode.split("_");
  const claimed = expected.get(`${file.batch}.sampling_per_token_logps`)?.data ?? [];
  const differences = Array.from({ length: r.rows }, (_, row) =>
    Array.from({ length: r.width }, (_, i) => {
      const at = row * r.width + i;
      return r.counts[at] === 1 ? (old[at] ?? 0) - Number(claimed[at] ?? 0) : 0;
    }),
  );
  const ratios = samplerRatios(differences, {
    level: level === "sequence" ? "sequence" : "token",
    limit: limit === "truncate" ? "truncate" : "mask",
    least: numeric(config, "vllm_importance_sampling_clip_min"),
    most: numeric(config, "vllm_importance_sampling_clip_max") ?? 3,
  });
  const wide = ratios.map((row) => (row.length === 1 ? new Array<number>(r.width).fill(row[0] ?? 1) : row));
  return {
    ratios: beforePrompt(r, wide.flat()),
    logs: floats(samplerLogs(ratios)),
    raw: floats(ratios.flat(), [r.rows, ratios[0]?.length ?? 1]),
    metrics: samplerMetrics(
      differences.map((row, i) => row.filter((_, j) => r.counts[i * r.width + j] === 1)),
      ratios.map((row, i) =>
        row.length === 1 ? row : row.filter((_, j) => r.counts[i * r.width + j] === 1),
      ),
    ),
  };
}

/** Some rows of a batch, with their columns. */
function slice(batch: TextBatch<"CAUSAL_LM">, from: number, to: number): TextBatch<"CAUSAL_LM"> {
  const [rows] = batch.inputIds.shape;
  const cut = <T extends { data: Int32Array | Float32Array; shape: readonly number[] }>(x: T): T => {
    if (x.shape[0] !== rows) return x;
    const width = x.data.length / rows;
    return { ...x, data: x.data.slice(from * width, to * width), shape: [to - from, ...x.shape.slice(1)] };
  };
  const { attentionMask, labels } = batch;
  return {
    ...batch,
    inputIds: cut(batch.inputIds),
    ...(attentionMask && { attentionMask: cut(attentionMask) }),
    ...(labels && { labels: cut(labels) }),
    columns: Object.fromEntries(Object.entries(batch.columns ?? {}).map(([name, x]) => [name, cut(x)])),
  };
}

/** The coefficient of the entropy: as said, or by the entropy of the step before. */
class EntropyCoef {
  readonly #config: Config;
  coef = 0;
  #last = Number.POSITIVE_INFINITY;

  constructor(config: Config) {
    this.#config = config;
    this.begin();
  }

  begin(): void {
    this.coef = numeric(this.#config, "entropy_coef") ?? 0;
    this.#last = Number.POSITIVE_INFINITY;
  }

  get #isAdaptive(): boolean {
    return this.#config["use_adaptive_entropy"] === true;
  }

  get now(): number {
    return !this.#isAdaptive || this.#last <= (numeric(this.#config, "entropy_target") ?? 0) ? this.coef : 0;
  }

  step(entropy: number): void {
    if (!this.#isAdaptive) return;
    const of = (key: string, other: number): number => numeric(this.#config, key) ?? other;
    const change = of("entropy_coef_delta", 0.005);
    const isLow = entropy <= of("entropy_target", 0);
    this.coef = isLow
      ? Math.min(this.coef + change, of("entropy_coef_max", 1))
      : Math.max(this.coef - change, 0);
    this.#last = entropy;
  }
}

/** The trainer's whole run: the same completions are drawn at each rollout, and learnt num_iterations times. */
async function train(v: Variant): Promise<readonly Check[]> {
  const given = json<{ given: Given }>(v.folder, "case.json").given;
  // "batch" is the case's own; the adapter begins as it is saved
  const own: Variant = { ...v, file: { ...v.file, batch: "batch" } };
  const { config, model, expected } = own;
  const r = rowsOf(own);
  const of = (key: string, other: number): number => numeric(config, key) ?? other;
  const temperature = of("temperature", 1);
  const logProbs = async (): Promise<Float32Array> =>
    completions(r, (await model.logProbs(r.batch, { temperature })).tokens);
  const reference = await model.disableAdapter(logProbs);
  const { advantages } = grpoAdvantages(given.rewards, config);
  const loss = grpoLoss(grpoOptions(config));
  const [steps, warmupSteps, lr] = [of("max_steps", 1), of("warmup_steps", 0), of("learning_rate", 1e-6)];
  const optimizer = new AdamW(model.trainableParameters(), {
    ...{ betas: [of("adam_beta1", 0.9), of("adam_beta2", 0.999)], eps: of("adam_epsilon", 1e-8) },
    ...{ weightDecay: of("weight_decay", 0), maxGradNorm: of("max_grad_norm", 1) },
  });
  const log = (v.json["log"] ?? []) as readonly Record<string, number>[];
  const checks: Check[] = [];
  let old: Float32Array = new Float32Array(0);
  for (let step = 0; step < steps; step++) {
    if (step % of("num_iterations", 1) === 0) old = await logProbs();
    const columns = {
      ...{ advantages: floats(advantages), oldLogProbs: beforePrompt(r, old) },
      ...{ referenceLogProbs: beforePrompt(r, reference) },
      windowTokens: floats([r.counts.reduce((a, b) => a + b, 0)]),
    };
    const result = await model.forwardBackward({ ...r.batch, columns }, { loss });
    optimizer.lr = learningRate("linear", { lr, totalSteps: steps, warmupSteps }, step);
    const { gradNorm } = await optimizer.step();
    const said: Record<string, number> = {
      ...result.metrics,
      ...{ loss: result.loss, grad_norm: gradNorm, learning_rate: optimizer.lr },
    };
    for (const [key, value] of Object.entries(log[step] ?? {}))
      if (key in said) checks.push(number(`log.${key}`, said[key] ?? Number.NaN, value));
  }
  return [...checks, ...checkWeights(model, expected, `${v.name}.trained.`)];
}

export const grpo: RlhfMethod = { prepare, train };
