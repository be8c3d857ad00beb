import type { Graph } from "../graph/graph.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { OptionReader } from "./checks.js";
import { upright } from "./delta.js";
import { perRow } from "./gate.js";
import type { LayerOptions } from "./layer_config.js";
import { LayerConfig } from "./layer_config.js";
import type { Bias } from "./lora_config.js";
import { loraFields, unsupportedLora } from "./lora_config.js";
import type { Adapted, AdapterConfig, Initial, Json, Merging, Method, SiteMethod } from "./method.js";
import { RankAllocator } from "./rank_allocator.js";

/** Options of AdaLoRA. */
export interface AdaLoraOptions extends LayerOptions {
  /** Steps of the whole training. Left out: the Trainer says how many it takes. */
  totalStep?: number | undefined;
  /** The rank at the start. Default 12. */
  initR?: number | undefined;
  /** The mean rank at the end. Default 8. */
  targetR?: number | undefined;
  /** Steps at the start in which ranks stay. Default 0. */
  tinit?: number | undefined;
  /** Steps at the end in which ranks stay. Default 0. */
  tfinal?: number | undefined;
  /** Steps between changes of ranks. Default 1. */
  deltaT?: number | undefined;
  /** Smoothing of importance. Default 0.85. */
  beta1?: number | undefined;
  /** Smoothing of its change. Default 0.85. */
  beta2?: number | undefined;
  /** Weight of what keeps A and B orthogonal in the loss. Default 0.5. */
  orthRegWeight?: number | undefined;
  /** Not used: Python's LoRA has it. */
  r?: number | undefined;
  /** Scale of the update: alpha / initR. Default 8. */
  loraAlpha?: number | undefined;
  /** Rate of dropout on the adapter's input in training. Default 0. */
  loraDropout?: number | undefined;
  /** Python's word for weights stored [in, out]; here it is known from the model, and only recorded. */
  fanInFanOut?: boolean | undefined;
  /** Biases of the base that train too. Default "none". */
  bias?: Bias | undefined;
  /** Start without effect (default), or at random. */
  initLoraWeights?: boolean | undefined;
  /** Which singular values stayed, as a finished training says: layer's path and ".lora_E" -> one flag each. */
  rankPattern?: Readonly<Record<string, readonly boolean[]>> | undefined;
}

const fields: Readonly<Record<string, Json>> = {
  ...loraFields,
  peft_type: "ADALORA",
  target_r: 8,
  init_r: 12,
  tinit: 0,
  tfinal: 0,
  deltaT: 1,
  beta1: 0.85,
  beta2: 0.85,
  orth_reg_weight: 0.5,
  total_step: null,
  rank_pattern: null,
};

/** Config of AdaLoRA (arXiv 2303.10512). Throws "adapter-config". Reference: peft/tuners/adalora/config.py */
export class AdaLoraConfig extends LayerConfig implements AdapterConfig {
  readonly peftType = "ADALORA";
  readonly totalStep: number | undefined;
  readonly initR: number;
  readonly targetR: number;
  readonly tinit: number;
  readonly tfinal: number;
  readonly deltaT: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly orthRegWeight: number;
  readonly loraAlpha: number;
  readonly loraDropout: number;
  readonly fanInFanOut: boolean;
  readonly bias: Bias;
  readonly initLoraWeights: boolean;
  readonly rankPattern: Readonly<Record<string, readonly boolean[]>> | undefined;

  constructor(options: AdaLoraOptions = {}) {
    const read = new OptionReader("AdaLoraConfig", options, fields);
    super(read);
    this.totalStep = read.integer("totalStep", { min: 1 });
    this.initR = read.integer("initR", { min: 1 }) ?? 12;
    this.targetR = read.integer("targetR", { min: 1 }) ?? 8;
    this.tinit = read.integer("tinit", { min: 0 }) ?? 0;
    this.tfinal = read.integer("tfinal", { min: 0 }) ?? 0;
    this.deltaT = read.integer("deltaT", { min: 1 }) ?? 1;
    this.beta1 = read.number("beta1", { min: 0, max: 1 }) ?? 0.85;
    this.beta2 = read.number("beta2", { min: 0, max: 1 }) ?? 0.85;
    this.orthRegWeight = read.number("orthRegWeight", { min: 0 }) ?? 0.5;
    this.loraAlpha = read.number("loraAlpha") ?? 8;
    this.loraDropout = read.rate("loraDropout");
    this.fanInFanOut = read.flag("fanInFanOut", false);
    this.bias = read.oneOf("bias", ["none", "all", "lora_only"], "none");
    this.initLoraWeights = read.flag("initLoraWeights", true);
    this.rankPattern = read.object("rankPattern") as AdaLoraConfig["rankPattern"];
    read.integer("r");
    read.unsupported([...unsupportedLora, "useDora", "loftqConfig", "loraBias", "trainableTokenIndices"]);
    checkSchedule(read, this);
    read.done();
  }
}

function checkSchedule(read: OptionReader, { totalStep, tinit, tfinal }: AdaLoraConfig): void {
  if (totalStep !== undefined && tinit >= totalStep - tfinal)
    read.fault(
      `tinit is ${tinit}, tfinal ${tfinal} and totalStep ${totalStep}.`,
      "no step is left in which ranks change.",
      { fix: "less of tinit and tfinal, or more steps." },
    );
}

const ENDING = ".lora_E";

function rankOf({ rankPattern, initR }: AdaLoraConfig, { path }: LinearSite): number {
  return rankPattern?.[path + ENDING]?.filter((stays) => stays).length ?? initR;
}

/** alpha / initR; a layer that lost ranks keeps it. */
function scaleOf({ loraAlpha, initR }: AdaLoraConfig): number {
  return Math.fround((loraAlpha > 0 ? loraAlpha : initR) / Math.fround(initR + 1e-5));
}

/** y + s B E A dropout(x) */
function forward(a: Adapted<LinearSite>, x: Tensor, c: AdaLoraConfig): Tensor {
  const { g, p } = a;
  const low = g.linear(a.dropout(x, c.loraDropout), g.mul(p("lora_A"), p("lora_E")));
  const change = g.linear(low, p("lora_B"));
  return g.add(a.next(x), g.mul(change, perRow(g, a.scale, change)));
}

function merge({ g, site, p, weight, scale }: Merging<LinearSite>): { weight: Tensor } {
  const delta = g.matmul(p("lora_B"), g.mul(p("lora_A"), p("lora_E")));
  return { weight: g.add(weight, g.mul(upright(g, site, delta), scale)) };
}

const linear: SiteMethod<AdaLoraConfig, LinearSite> = {
  parameters: (c, site) => {
    const r = rankOf(c, site);
    const start = (std: number): Initial =>
      c.initLoraWeights ? { kind: "normal", std } : { kind: "normal", std: 1 };
    return [
      { key: "lora_A", shape: [r, site.inDim], initial: start(0.02) },
      { key: "lora_E", shape: [r, 1], initial: start(0) },
      { key: "lora_B", shape: [site.outDim, r], initial: start(0.02) },
      { key: "ranknum", shape: [1], initial: { kind: "constant", value: c.initR }, frozen: "counted" },
    ];
  },
  forward,
  scale: scaleOf,
  merge,
};

/** Mean over all A and B of |A A^T - I| and |B^T B - I| (Frobenius), times its weight. */
function penalty(
  g: Graph,
  layers: readonly ((key: string) => Tensor)[],
  { orthRegWeight }: AdaLoraConfig,
): Tensor {
  const norms = layers.flatMap((p) => {
    const [a, b] = [p("lora_A"), p("lora_B")];
    return [g.matmul(a, a, { transB: true }), g.matmul(b, b, { transA: true })].map((product) => {
      const r = product.shape[0] as number;
      const identity = Array.from({ length: r * r }, (_, i) => (i % (r + 1) === 0 ? 1 : 0));
      return g.sqrt(g.sum(g.square(g.sub(product, g.constant(identity, [r, r])))));
    });
  });
  const sum = norms.reduce((total, norm) => g.add(total, norm));
  return g.mul(sum, orthRegWeight / norms.length);
}

/** LoRA whose ranks are taken away where they matter least. arXiv 2303.10512. Reference: peft/tuners/adalora/layer.py */
export const adalora: Method<AdaLoraConfig> = {
  peftType: "ADALORA",
  name: "adalora",
  fields,
  floats: ["lora_dropout"],
  create: (options) => new AdaLoraConfig(options as AdaLoraOptions),
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    bias: (c) => c.bias,
    linear,
    penalty,
    allocator: (c, tensors) => new RankAllocator(c, tensors),
  },
};
