import { isRecord } from "../narrow.js";
import { option, words } from "../words.js";
import { configClass } from "./config.js";
import type { LoraOptions, LoraValues } from "./config_types.js";
import { bdloraTable } from "./lora_blocks.js";
import { montecloraTable } from "./lora_noise.js";
import { veloraTable } from "./lora_velora.js";
import type { ConfigClass, Json, MethodRow, MethodTable, SayFault } from "./method.js";
import { checkNested, type NestedTable } from "./nested.js";
import {
  alphaPattern,
  bias,
  blocks,
  dropout,
  fanInFanOut,
  rank,
  rankPattern,
  saving,
  targets,
} from "./shared_options.js";

/** KaSA (arXiv 2412.06071): weights of losses, which are left to the caller as in Python. */
const kasaTable: NestedTable = {
  beta: { kind: "number", min: 0, byDefault: 1e-4, means: "of the squares of the factors" },
  gamma: { kind: "number", min: 0, byDefault: 1e-3, means: "of how far A and B are from orthogonal" },
};

/** Fields of Python's that change what the adapter computes and are not built. */
export const unbuiltLora: Readonly<Record<string, Json>> = {
  ...{ megatron_config: null, use_qalora: false, layer_replication: null, arrow_config: null },
};

/** Fields of LoRA's variants, of which AdaLoRA has none. */
export const variantFields: Readonly<Record<string, Json>> = {
  ...{ use_bdlora: null, kasa_config: null, monteclora_config: null, velora_config: null },
};

/** Fields of other starts. */
export const startFields: Readonly<Record<string, Json>> = {
  ...{ eva_config: null, corda_config: null, lora_ga_config: null },
};

/** Fields of other initializations, without effect once an adapter is there, and of what is not built. */
export const ignoredLora: Readonly<Record<string, Json>> = {
  ...{ megatron_core: "megatron.core", qalora_group_size: 16 },
  loftq_config: {},
};

/** An option with fields of its own, under Python's names. */
function nested(means: string): MethodRow {
  return { kind: "json", form: "JSON", otherwise: "none", means };
}

/** Tables of such options. */
const NESTED: Readonly<Record<string, NestedTable>> = {
  useBdlora: bdloraTable,
  kasaConfig: kasaTable,
  montecloraConfig: montecloraTable,
  veloraConfig: veloraTable,
};

const options: MethodTable = {
  ...saving,
  ...targets,
  ...blocks,
  r: rank(8, "the rank: A is [r, in], B is [out, r]", "loraRank"),
  loraAlpha: { kind: "number", byDefault: 8, also: ["alpha"], means: "scale of the update: alpha / r" },
  loraDropout: dropout,
  fanInFanOut,
  bias: bias("lora_only"),
  useRslora: {
    kind: "flag",
    byDefault: false,
    also: ["rslora"],
    means: "scale by alpha / sqrt(r) (arXiv 2312.03732)",
  },
  initLoraWeights: {
    kind: "flag",
    choices: ["gaussian", "orthogonal", "olora", "pissa", "pissa_niter_N", "mica", "eva"],
    byDefault: true,
    means: "how A and B start; true: A at random and B zero, without effect; false: both at random",
  },
  rankPattern,
  alphaPattern: alphaPattern("loraAlpha"),
  targetParameters: {
    kind: "names",
    otherwise: "none",
    means: "parameters that are adapted by themselves: stacks of experts, as experts.gate_up_proj",
  },
  useDora: {
    kind: "flag",
    byDefault: false,
    also: ["dora"],
    means: "learn magnitude and direction apart (DoRA, arXiv 2402.09353)",
  },
  aloraInvocationTokens: {
    kind: "ids",
    otherwise: "none",
    also: ["alora"],
    means: "the adapter acts on tokens from the last place where these ids stand (aLoRA, arXiv 2504.12397)",
  },
  useBdlora: {
    ...nested("a block-diagonal A or B: target_modules_bd_a, target_modules_bd_b, nblocks, match_strict"),
    also: ["bdlora"],
  },
  kasaConfig: nested("a factor for each rank, on a base without its smallest directions (KaSA): beta, gamma"),
  montecloraConfig: nested("noise on A in training (MonteCLoRA): num_samples, sample_scaler and others"),
  veloraConfig: nested("A's gradient from projections (VeLoRA): num_groups, scale, init_type"),
  evaConfig: { ...nested("of the start eva, which Python makes; only recorded"), fileOnly: true },
  cordaConfig: { ...nested("of the start corda, which is not made here; only recorded"), fileOnly: true },
  loraGaConfig: { ...nested("of the start lora_ga, which is not made here; only recorded"), fileOnly: true },
  loraBias: { kind: "flag", byDefault: false, means: "a bias in B" },
  trainableTokenIndices: {
    kind: "idsByName",
    otherwise: "none",
    means: "ids of tokens whose rows of the input embedding train, or ids by an embedding's or head's name",
  },
  ensureWeightTying: {
    kind: "flag",
    byDefault: false,
    means: "modulesToSave keep an embedding and the head that is tied to it one tensor",
  },
};

export type { LoraOptions };
export type LoraConfig = LoraValues;
/**
 * Config of LoRA (arXiv 2106.09685). Reference: peft/tuners/lora/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, LoraConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new LoraConfig({ taskType: "SEQ_2_SEQ_LM", r: 8, loraAlpha: 32, loraDropout: 0.1 }));
 * ```
 */
export const LoraConfig: ConfigClass<LoraValues, LoraOptions> = configClass("LORA", "LoraConfig", {
  options,
  unbuilt: unbuiltLora,
  ignored: ignoredLora,
  check: checkTogether,
});

/** Variants that change what A and B are: one at a time. */
const VARIANTS = ["useDora", "useBdlora", "kasaConfig", "montecloraConfig", "veloraConfig"] as const;

/** Faults that no option has by itself. */
function checkTogether(c: LoraConfig, fault: SayFault): void {
  const given = new Map<string, unknown>(Object.entries(c));
  for (const [name, table] of Object.entries(NESTED)) {
    const value = given.get(name);
    if (isRecord(value)) checkNested(name, value, table, fault);
  }
  if (c.initLoraWeights === "eva" && c.evaConfig === undefined)
    fault(
      words`${option("initLoraWeights")} is "eva".`,
      "that start is made of data, by initialize_lora_eva_weights in Python; such an adapter trains on here.",
      words`${option("initLoraWeights", "pissa")}, which is made of the weights alone.`,
    );
  const variants = VARIANTS.filter((name) => c[name] !== undefined && c[name] !== false);
  if (variants.length > 1)
    fault(
      words`${option(variants[0] ?? "")} and ${option(variants[1] ?? "")} are both given.`,
      "each is a variant of LoRA by itself.",
      "leave all but one out.",
    );
  if (c.loraBias && typeof c.initLoraWeights !== "boolean") {
    fault(
      words`${option("loraBias")} is true with ${option("initLoraWeights", c.initLoraWeights)}.`,
      "this initialization says nothing about a bias.",
      words`${option("initLoraWeights", true)}, or leave ${option("loraBias")} out.`,
    );
  }
  if (c.loraBias && c.useDora) {
    fault(
      words`${option("loraBias")} and ${option("useDora")} are both true.`,
      "DoRA has no bias of its own.",
      "leave one of them out.",
    );
  }
  if (c.aloraInvocationTokens !== undefined && (c.useDora || c.loraBias)) {
    fault(
      words`${option("aloraInvocationTokens")} is given with ${option(c.useDora ? "useDora" : "loraBias", true)}.`,
      "an activated LoRA is a plain one, on some of the tokens.",
      "leave one of them out.",
    );
  }
  const odd = [c.r, ...Object.values(c.rankPattern)].find((r) => r % 2 !== 0);
  if (c.initLoraWeights === "orthogonal" && odd !== undefined) {
    fault(
      words`${option("initLoraWeights")} is "orthogonal" and a rank is ${odd}.`,
      "A and B take half of an orthogonal basis each, so ranks are even.",
      words`${option("r", odd + 1)}.`,
    );
  }
  const name = typeof c.initLoraWeights === "string" ? c.initLoraWeights : "";
  const alpha = [c.loraAlpha, ...Object.values(c.alphaPattern)].find((x) => x <= 0);
  if (name.startsWith("pissa") && alpha !== undefined) {
    fault(
      words`${option("initLoraWeights")} is "${name}" and an alpha is ${alpha}.`,
      "its factors are divided by alpha / r.",
      words`${option("loraAlpha", 8)}.`,
    );
  }
}
