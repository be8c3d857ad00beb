import { join } from "node:path";
import { PreTrainedModel } from "../../../src/peft/base_model.js";
import { PeftModel } from "../../../src/peft/peft_model.js";
import { type Episode, type Experience, NO_TOKEN, ppoBatch } from "../../../src/rlhf/episodes.js";
import {
  experienceOf,
  type Judge,
  type Part,
  type PpoOptions,
  type PpoPass,
  ppoLosses,
  ppoPass,
} from "../../../src/rlhf/ppo.js";
import { AdamW } from "../../../src/train/adamw.js";
import { json } from "../files.js";
import type { CaseResult } from "../result.js";
import {
  type Check,
  compare,
  compareToLargest,
  Expected,
  exact,
  failure,
  type KitTensor,
} from "../tensors.js";
import { kitName } from "../training.js";
import { type Config, FIRM, number, numeric } from "./variant.js";

interface PpoCase {
  readonly model: string;
  readonly reward_model: string;
  readonly value_model: string;
  readonly defaults: Config;
  readonly variants: Readonly<Record<string, { config: Config; orders: number[][] }>>;
}

interface PpoExpected {
  readonly steps: readonly Readonly<Record<string, number>>[];
  readonly metrics: Readonly<Record<string, number>>;
}

/** Pad and end token of the kit's tokenizers. */
const [PAD, END] = [0, 2];

/** Policy, critic and judge are three models here, as TRL has them. */
export async function runPpo(kit: string, name: string): Promise<CaseResult> {
  const folder = join(kit, "cases", name);
  const file = json<PpoCase>(folder, "case.json");
  const expected = await Expected.open(join(folder, "expect.safetensors"));
  const wanted = json<Record<string, PpoExpected>>(folder, "expect.json");
  const judge = await PreTrainedModel.load("SEQ_CLS", join(kit, file.reward_model), { threads: 1 });
  const bases = [
    await PreTrainedModel.load("CAUSAL_LM", join(kit, file.model), { threads: 1 }),
    await PreTrainedModel.load("SEQ_CLS", join(kit, file.value_model), { threads: 1 }),
  ] as const;
  const checks: Check[] = [];
  for (const [variant, { config, orders }] of Object.entries(file.variants)) {
    const models = [new PeftModel(bases[0]), new PeftModel(bases[1])] as [PeftModel, PeftModel];
    await models[0].loadAdapter(folder, "default");
    await models[1].loadAdapter(join(folder, "value"), "default");
    const v = { expected, variant, judge, config: { ...file.defaults, ...config }, orders };
    const found = await checkUpdate(v, models, wanted[variant]).catch((error) => [failure(error)]);
    checks.push(...found.map((check) => ({ ...check, key: `${variant}.${check.key}` })));
    for (const model of models) await model.unload();
  }
  for (const base of [judge, ...bases]) await base.close();
  for (const key of expected.unread) checks.push(exact(`unknown.${key}`, false, "nothing checks this key"));
  return { checks };
}

interface PpoVariant {
  readonly expected: Expected;
  readonly variant: string;
  readonly judge: PreTrainedModel<"SEQ_CLS">;
  readonly config: Config;
  readonly orders: readonly (readonly number[])[];
}

async function checkUpdate(
  v: PpoVariant,
  [policy, critic]: readonly [PeftModel, PeftModel],
  wanted: PpoExpected | undefined,
): Promise<readonly Check[]> {
  const get = (key: string): KitTensor | undefined => v.expected.get(`${v.variant}.${key}`);
  const parts = { policy: partOf(policy), critic: partOf(critic) };
  const options = optionsOf(v.config);
  const judge: Judge = async (rows) => [...(await v.judge.forward(rows)).logits.data];
  const { experience, metrics } = await experienceOf(parts, episodesOf(v), judge, [END], options);
  const checks = checkExperience(experience, get);
  const [of, accumulated] = [
    numeric(v.config, "per_device_train_batch_size") ?? 8,
    numeric(v.config, "gradient_accumulation_steps") ?? 1,
  ];
  const mini = (of * accumulated) / (numeric(v.config, "num_mini_batches") ?? 1);
  const micro = mini / accumulated;
  const losses = ppoLosses(options);
  const unclipped = { ...FIRM, maxGradNorm: Number.POSITIVE_INFINITY };
  const optimizers = [policy, critic].map((model) => new AdamW(model.trainableParameters(), unclipped));
  const passes: PpoPass[] = [];
  for (const order of v.orders)
    for (let first = 0; first < order.length; first += mini) {
      for (let at = first; at < first + mini; at += micro) {
        passes.push(await ppoPass(parts, ppoBatch(experience, order.slice(at, at + micro)), losses));
        if (passes.length === 1) checks.push(...checkGradients(policy, critic, get, accumulated));
      }
      for (const optimizer of optimizers) await optimizer.step();
    }
  return [...checks, ...checkPasses(passes, metrics, wanted), ...checkWeights(policy, critic, get)];
}

function partOf(model: PeftModel): Part {
  return { model, adapter: "default" };
}

function optionsOf(config: Config): PpoOptions {
  const of = (key: string, fallback: number): number => numeric(config, key) ?? fallback;
  return {
    ...{ klCoef: of("kl_coef", 0.05), klEstimator: config["kl_estimator"] === "k3" ? "k3" : "k1" },
    ...{ gamma: of("gamma", 1), lam: of("lam", 0.95), whitenRewards: config["whiten_rewards"] === true },
    ...{ cliprange: of("cliprange", 0.2), cliprangeValue: of("cliprange_value", 0.2) },
    ...{ vfCoef: of("vf_coef", 0.1), temperature: of("temperature", 0.7) },
    missingEosPenalty: numeric(config, "missing_eos_penalty"),
  };
}

/** Padding is none of a prompt's tokens; within a response it is a gap. */
function episodesOf({ expected, variant }: PpoVariant): Episode[] {
  const queries = expected.get(`${variant}.queries`);
  const whole = expected.get(`${variant}.query_responses`);
  const [rows = 0, width = 0] = whole?.shape ?? [];
  const start = queries?.shape[1] ?? 0;
  return Array.from({ length: rows }, (_, row) => {
    const ids = [...(whole?.data.subarray(row * width, (row + 1) * width) ?? [])];
    return {
      prompt: ids.slice(0, start).filter((id) => id !== PAD),
      response: ids.slice(start).map((id) => (id === PAD ? NO_TOKEN : id)),
    };
  });
}

function checkExperience(
  { episodes, frame, lastTokens, logProbs, learnt }: Experience,
  get: (key: string) => KitTensor | undefined,
): Check[] {
  const shape = [episodes.length, frame.length];
  const isToken = (i: number): boolean => i % frame.length <= (lastTokens[Math.floor(i / frame.length)] ?? 0);
  const flat = (table: readonly Float32Array[]) => ({ shape, data: table.flatMap((row) => [...row]) });
  const cut = get("postprocessed_responses");
  const places = { shape: [episodes.length], data: lastTokens };
  get("scores");
  get("ref_logprobs");
  return [
    exact("responses", cut !== undefined, "none"),
    compare("last", places, get("sequence_lengths"), 1e-4),
    compare("logprobs", flat(logProbs), get("logprobs"), 1e-4, isToken),
    compare("kl", flat(learnt.kl), get("kl"), 1e-4),
    compare("values", flat(learnt.values), get("values"), 1e-4),
    compare("rewards", flat(learnt.rewards), get("rewards"), 1e-4),
    compare("advantages", flat(learnt.advantages), get("advantages"), 1e-4),
    compare("returns", flat(learnt.returns), get("returns"), 1e-4),
  ];
}

function checkGradients(
  policy: PeftModel,
  critic: PeftModel,
  get: (key: string) => KitTensor | undefined,
  accumulated: number,
): readonly Check[] {
  return Object.entries({ policy, value: critic }).flatMap(([who, model]) => {
    const parameters = model.trainableParameters();
    return parameters.list.map((p, i) => {
      const data = parameters.gradientOf(i).map((x) => x / accumulated);
      const key = `grad.${who}.${kitName(model.activeAdapter, p.name)}`;
      return compareToLargest("grad", { shape: p.shape, data }, get(key), 1e-4, 1e-6);
    });
  });
}

function checkWeights(
  policy: PeftModel,
  critic: PeftModel,
  get: (key: string) => KitTensor | undefined,
): readonly Check[] {
  return Object.entries({ policy, value: critic }).flatMap(([who, model]) =>
    model.trainableParameters().list.map((p) => {
      const key = `trained.${who}.${kitName(model.activeAdapter, p.name)}`;
      return compareToLargest("trained", p, get(key), 1e-4, 1e-6);
    }),
  );
}

/** Names of the trainer's averages of what passes say. */
const AVERAGES: Readonly<Record<string, string>> = {
  "policy/approxkl_avg": "policy/approxkl",
  "policy/clipfrac_avg": "policy/clipfrac",
  "policy/entropy_avg": "policy/entropy",
  "loss/policy_avg": "loss/policy",
  "loss/value_avg": "loss/value",
  "val/clipfrac_avg": "val/clipfrac",
  "val/ratio": "val/ratio",
};

function checkPasses(
  passes: readonly PpoPass[],
  rollout: Readonly<Record<string, number>>,
  wanted: PpoExpected | undefined,
): readonly Check[] {
  const said = (name: string): number[] => passes.map(({ metrics }) => metrics[name] ?? Number.NaN);
  const mean = (all: readonly number[]): number => all.reduce((a, b) => a + b, 0) / all.length;
  const checks = passes.flatMap(({ loss, metrics }, i) => [
    number("steps.loss", loss, wanted?.steps[i]?.["loss"]),
    number("steps.pg_loss", metrics["loss/policy"] ?? Number.NaN, wanted?.steps[i]?.["pg_loss"]),
    number("steps.vf_loss", metrics["loss/value"] ?? Number.NaN, wanted?.steps[i]?.["vf_loss"]),
    number("steps.vf_clipfrac", metrics["val/clipfrac"] ?? Number.NaN, wanted?.steps[i]?.["vf_clipfrac"]),
  ]);
  for (const [name, value] of Object.entries(wanted?.metrics ?? {})) {
    const ratios = said("val/ratio");
    const variance = ratios.reduce((sum, x) => sum + (x - mean(ratios)) ** 2, 0) / (ratios.length - 1);
    const own = name === "val/ratio_var" ? variance : (rollout[name] ?? mean(said(AVERAGES[name] ?? name)));
    checks.push(number(`metrics.${name}`, own, value));
  }
  return checks;
}
