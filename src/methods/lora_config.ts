import { option, words } from "../words.js";
import { configClass } from "./config.js";
import type { LoraOptions, LoraValues } from "./config_types.js";
import type { ConfigClass, Json, MethodTable, SayFault } from "./method.js";
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
/** Fields of Python's that change what the adapter computes and are not built. */
export const unbuiltLora: Readonly<Record<string, Json>> = {
  ...{ megatron_config: null, velora_config: null, use_qalora: false },
  ...{ monteclora_config: null, layer_replication: null, use_bdlora: null },
  ...{ arrow_config: null, kasa_config: null },
};

/** Fields of other initializations, without effect once an adapter is there, and of what is not built. */
export const ignoredLora: Readonly<Record<string, Json>> = {
  ...{ megatron_core: "megatron.core", qalora_group_size: 16 },
  ...{ loftq_config: {}, eva_config: null, corda_config: null, lora_ga_config: null },
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
    choices: ["gaussian", "orthogonal", "olora", "pissa", "pissa_niter_N"],
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

/** Faults that no option has by itself. */
function checkTogether(c: LoraConfig, fault: SayFault): void {
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
