import { camel, OptionReader } from "./checks.js";
import type { LayerOptions } from "./layer_config.js";
import { LayerConfig, layerFields } from "./layer_config.js";
import type { AdapterConfig, Json } from "./method.js";

export type Bias = "none" | "all" | "lora_only";
export type LoraInit = boolean | "gaussian" | "orthogonal" | "olora" | "pissa" | `pissa_niter_${number}`;

/** Options of LoRA. Every one has a default. */
export interface LoraOptions extends LayerOptions {
  /** The rank: A is [r, in], B is [out, r]. Default 8. */
  r?: number | undefined;
  /** Scale of the update: alpha / r. Default 8. */
  loraAlpha?: number | undefined;
  /** Rate of dropout on the adapter's input in training. Default 0. */
  loraDropout?: number | undefined;
  /** Python's word for weights stored [in, out]; here it is known from the model, and only recorded. */
  fanInFanOut?: boolean | undefined;
  /** Biases of the base that train too: "none" (default), "all", or "lora_only" those of adapted layers. */
  bias?: Bias | undefined;
  /** Scale by alpha / sqrt(r) (arXiv 2312.03732). Default false. */
  useRslora?: boolean | undefined;
  /** How A and B start; true (default): B is zero. */
  initLoraWeights?: LoraInit | undefined;
  /** Ranks by layer name or pattern where they differ from r. */
  rankPattern?: Readonly<Record<string, number>> | undefined;
  /** Alphas by layer name or pattern where they differ from loraAlpha. */
  alphaPattern?: Readonly<Record<string, number>> | undefined;
  /** Learn magnitude and direction apart (DoRA, arXiv 2402.09353). Default false. */
  useDora?: boolean | undefined;
  /** A bias in B. Default false. */
  loraBias?: boolean | undefined;
  /** Rows of the input embedding that train, or rows by embedding's name. */
  trainableTokenIndices?: readonly number[] | Readonly<Record<string, readonly number[]>> | undefined;
}

export const loraFields: Readonly<Record<string, Json>> = {
  ...layerFields("LORA"),
  r: 8,
  lora_alpha: 8,
  lora_dropout: 0,
  fan_in_fan_out: false,
  bias: "none",
  use_rslora: false,
  init_lora_weights: true,
  rank_pattern: {},
  alpha_pattern: {},
  megatron_config: null,
  megatron_core: "megatron.core",
  trainable_token_indices: null,
  loftq_config: {},
  eva_config: null,
  corda_config: null,
  lora_ga_config: null,
  use_dora: false,
  velora_config: null,
  alora_invocation_tokens: null,
  use_qalora: false,
  qalora_group_size: 16,
  monteclora_config: null,
  layer_replication: null,
  lora_bias: false,
  target_parameters: null,
  use_bdlora: null,
  arrow_config: null,
  kasa_config: null,
  ensure_weight_tying: false,
};

/**
 * Fields that change what the adapter computes and are not built; configs of other initializations are
 * without effect.
 */
export const unsupportedLora: readonly string[] = [
  "megatron_config",
  "velora_config",
  "alora_invocation_tokens",
  "use_qalora",
  "monteclora_config",
  "layer_replication",
  "target_parameters",
  "use_bdlora",
  "arrow_config",
  "kasa_config",
  "ensure_weight_tying",
].map(camel);

/** Config of LoRA (arXiv 2106.09685). Throws "adapter-config". Reference: peft/tuners/lora/config.py */
export class LoraConfig extends LayerConfig implements AdapterConfig {
  readonly peftType = "LORA";
  readonly r: number;
  readonly loraAlpha: number;
  readonly loraDropout: number;
  readonly fanInFanOut: boolean;
  readonly bias: Bias;
  readonly useRslora: boolean;
  readonly initLoraWeights: LoraInit;
  readonly rankPattern: Readonly<Record<string, number>>;
  readonly alphaPattern: Readonly<Record<string, number>>;
  readonly useDora: boolean;
  readonly loraBias: boolean;
  readonly trainableTokenIndices: readonly number[] | Readonly<Record<string, readonly number[]>> | undefined;

  constructor(options: LoraOptions = {}) {
    const read = new OptionReader("LoraConfig", options, loraFields);
    super(read);
    this.r = read.integer("r", { min: 1 }) ?? 8;
    this.loraAlpha = read.number("loraAlpha") ?? 8;
    this.loraDropout = read.rate("loraDropout");
    this.fanInFanOut = read.flag("fanInFanOut", false);
    this.bias = read.oneOf("bias", ["none", "all", "lora_only"], "none");
    this.useRslora = read.flag("useRslora", false);
    this.initLoraWeights = readInit(read);
    this.rankPattern = read.patterns("rankPattern", "whole");
    this.alphaPattern = read.patterns("alphaPattern", "any");
    this.useDora = read.flag("useDora", false);
    this.loraBias = read.flag("loraBias", false);
    this.trainableTokenIndices = read.indices("trainableTokenIndices");
    read.unsupported(unsupportedLora);
    checkTogether(read, this);
    read.done();
  }
}

function readInit(read: OptionReader): LoraInit {
  const init = read.raw("initLoraWeights") ?? true;
  if (typeof init === "boolean") return init;
  const name = typeof init === "string" ? init.toLowerCase() : "";
  const known = ["gaussian", "orthogonal", "olora", "pissa"].includes(name) || /^pissa_niter_\d+$/.test(name);
  if (known) return name as LoraInit;
  read.fault(
    `initLoraWeights is ${JSON.stringify(init)}.`,
    "it is true, false, gaussian, orthogonal, olora, pissa or pissa_niter_N; others need data.",
    { fix: "initLoraWeights: true." },
  );
  return true;
}

/** Faults that no option has by itself. */
function checkTogether(read: OptionReader, c: LoraConfig): void {
  if (c.loraBias && typeof c.initLoraWeights !== "boolean") {
    read.fault(
      `loraBias is true with initLoraWeights: "${c.initLoraWeights}".`,
      "this initialization says nothing about a bias.",
      { fix: "initLoraWeights: true, or leave loraBias out." },
    );
  }
  if (c.loraBias && c.useDora) {
    read.fault("loraBias and useDora are both true.", "DoRA has no bias of its own.", {
      fix: "leave one of them out.",
    });
  }
  const odd = [c.r, ...Object.values(c.rankPattern)].find((r) => r % 2 !== 0);
  if (c.initLoraWeights === "orthogonal" && odd !== undefined) {
    read.fault(
      `initLoraWeights is "orthogonal" and a rank is ${odd}.`,
      "A and B take half of an orthogonal basis each, so ranks are even.",
      { fix: `r: ${odd + 1}.` },
    );
  }
  const name = typeof c.initLoraWeights === "string" ? c.initLoraWeights : "";
  const alpha = [c.loraAlpha, ...Object.values(c.alphaPattern)].find((x) => x <= 0);
  if (name.startsWith("pissa") && alpha !== undefined) {
    read.fault(
      `initLoraWeights is "${name}" and an alpha is ${alpha}.`,
      "its factors are divided by alpha / r.",
      {
        fix: "loraAlpha: 8.",
      },
    );
  }
}
