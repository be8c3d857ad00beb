import { activationNames } from "../graph/activations.js";
import { option, words } from "../words.js";
import { configClass } from "./config.js";
import type { BottleneckOptions, BottleneckValues } from "./config_types.js";
import type { ConfigClass, Json, MethodTable, SayFault } from "./method.js";
import { saving } from "./shared_options.js";

type Values = Readonly<Record<string, unknown>>;

const double: Values = { mhAdapter: true, originalLnBefore: false, nonLinearity: "swish" };
const parallel: Values = {
  ...{ originalLnBefore: false, isParallel: true, reductionFactor: 2 },
  ...{ initWeights: "mam_adapter", scaling: 4 },
};
const compact: Values = { phmLayer: true, reductionFactor: 32, nonLinearity: "gelu" };
const invertible: Values = { invAdapter: "nice", invAdapterReductionFactor: 2 };

/**
 * What each preset has beside the options' defaults, which are seq_bn's. Reference: adapters,
 * ADAPTER_CONFIG_MAP
 */
const presets: Readonly<Record<string, Values>> = {
  seq_bn: {},
  double_seq_bn: double,
  par_bn: parallel,
  scaled_par_bn: { ...parallel, scaling: "learned" },
  seq_bn_inv: invertible,
  double_seq_bn_inv: { ...double, ...invertible },
  compacter: { ...double, ...compact },
  "compacter++": compact,
  adapter_plus: {
    ...{ originalLnAfter: false, residualBeforeLn: false, stochasticDepth: 0.1 },
    ...{ initWeights: "houlsby", scaling: "channel", reductionFactor: 96, nonLinearity: "gelu" },
  },
  pfeiffer: {},
  houlsby: double,
  parallel,
  scaled_parallel: { ...parallel, scaling: "learned" },
  "pfeiffer+inv": invertible,
  "houlsby+inv": { ...double, ...invertible },
};

const places: MethodTable = {
  mhAdapter: { kind: "flag", byDefault: false, means: "stand behind attention" },
  outputAdapter: { kind: "flag", byDefault: true, means: "stand behind the feed-forward" },
  crossAdapter: { kind: "flag", byDefault: false, means: "stand behind a decoder's cross-attention" },
  leaveOut: {
    kind: "ids",
    byDefault: [],
    means: "numbers of layers without adapters; a decoder's go on after its encoder's",
  },
  reductionFactor: {
    kind: "numberOrByName",
    byDefault: 16,
    above: 0,
    also: ["factor"],
    means: "the model's width over the bottleneck's; by layer with a default: default=16,1=8",
  },
};

const flow: MethodTable = {
  originalLnBefore: {
    kind: "flag",
    byDefault: true,
    means: "read what the model's residual and norm make of the sublayer's result, not the result itself",
  },
  originalLnAfter: { kind: "flag", byDefault: true, means: "the model's residual and norm follow" },
  lnBefore: { kind: "flag", byDefault: false, means: "a LayerNorm of its own before the bottleneck" },
  lnAfter: { kind: "flag", byDefault: false, means: "a LayerNorm of its own after the bottleneck" },
  residualBeforeLn: {
    kind: "flag",
    choices: ["post_add"],
    byDefault: true,
    means:
      "what is added to the bottleneck's result: the sublayer's result; off: what the bottleneck reads; post_add: the sum before the model's norm",
  },
  adapterResidualBeforeLn: { kind: "flag", byDefault: false, means: "lnAfter norms that sum as well" },
  isParallel: {
    kind: "flag",
    byDefault: false,
    means: "read what the sublayer reads, and add to its result",
  },
};

const module: MethodTable = {
  nonLinearity: {
    kind: "text",
    choices: [...activationNames, "leakyrelu"],
    byDefault: "relu",
    means: "the activation in the middle",
  },
  scaling: {
    kind: "number",
    choices: ["learned", "channel"],
    byDefault: 1,
    float: true,
    means: "factor of the result; learned: a trained number, channel: a trained number per channel",
  },
  useGating: {
    kind: "flag",
    byDefault: false,
    means: "a trained gate per row of a batch, the mean over its tokens, padding too",
  },
  dropout: {
    kind: "number",
    min: 0,
    below: 1,
    byDefault: 0,
    float: true,
    means: "share of the adapter's result that is dropped in training",
  },
  stochasticDepth: {
    kind: "number",
    min: 0,
    below: 1,
    byDefault: 0,
    float: true,
    means: "share of rows whose result is dropped in training; not where isParallel is on",
  },
  initWeights: {
    kind: "text",
    choices: ["bert", "mam_adapter", "houlsby"],
    byDefault: "bert",
    means: "how it starts: at random, without effect, or close to none",
  },
  invAdapter: {
    kind: "text",
    choices: ["nice"],
    otherwise: "none",
    means: "an invertible adapter behind the embeddings (MAD-X)",
  },
  invAdapterReductionFactor: {
    kind: "number",
    above: 0,
    otherwise: "the preset's",
    means: "half the model's width over the width inside the invertible adapter",
  },
};

const phm: MethodTable = {
  phmLayer: { kind: "flag", byDefault: false, means: "weights are sums of Kronecker products (compacter)" },
  phmDim: { kind: "whole", min: 1, byDefault: 4, means: "how many products; it divides both widths" },
  phmRank: { kind: "whole", min: 1, byDefault: 1, means: "rank of a product's right factor" },
  phmBias: { kind: "flag", byDefault: true, means: "such layers have a bias" },
  learnPhm: { kind: "flag", byDefault: true, means: "left factors (rules) are trained" },
  sharedPhmRule: { kind: "flag", byDefault: true, means: "all layers share the rules" },
  factorizedPhmRule: { kind: "flag", byDefault: false, means: "rules are products of rank 1" },
  factorizedPhmW: {
    kind: "flag",
    byDefault: true,
    python: "factorized_phm_W",
    means: "right factors are products of rank phmRank",
  },
  sharedPhmW: {
    kind: "flag",
    byDefault: false,
    python: "shared_W_phm",
    means: "all layers share the right factors",
  },
  phmCInit: {
    kind: "text",
    python: "phm_c_init",
    choices: ["normal", "uniform"],
    byDefault: "normal",
    means: "how rules start",
  },
  phmInitRange: { kind: "number", min: 0, byDefault: 0.0001, means: "spread of rules that start as normal" },
};

const options: MethodTable = {
  ...saving,
  preset: {
    kind: "text",
    choices: Object.keys(presets),
    byDefault: "seq_bn",
    also: ["architecture"],
    means: "defaults of the other options, by their name in the library",
  },
  ...places,
  ...flow,
  ...module,
  ...phm,
};

/** What the library's file says beside its config. */
const recorded: Readonly<Record<string, Json>> = {
  ...{ hidden_size: null, model_class: null, model_type: null, name: null, version: "adapters.1.3.0" },
  ...{ init_weights_seed: null, hypercomplex_nonlinearity: "glorot-uniform" },
};

export type { BottleneckOptions };
export type BottleneckConfig = BottleneckValues;
/**
 * Config of bottleneck adapters, as the library "adapters" has them: Houlsby (arXiv 1902.00751), Pfeiffer
 * (2005.00247), parallel (2110.04366), compacter (2106.04647), AdapterPlus (2406.06820), MAD-X (2005.00052).
 * Reference: adapters/configuration/adapter_config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { BottleneckConfig, getPeftModel } from "peft.js";
 *
 * const adapted = getPeftModel(base, new BottleneckConfig({ preset: "double_seq_bn", reductionFactor: 8 }));
 * ```
 */
export const BottleneckConfig: ConfigClass<BottleneckValues, BottleneckOptions> = configClass(
  "BOTTLENECK",
  "BottleneckConfig",
  { options, ignored: recorded, implied: ({ preset }) => presets[`${preset}`] ?? {}, check },
);

function check(c: BottleneckValues, fault: SayFault): void {
  if (!c.mhAdapter && !c.outputAdapter && !c.crossAdapter)
    fault(
      words`${option("mhAdapter")}, ${option("outputAdapter")} and ${option("crossAdapter")} are off.`,
      "adapters stand nowhere then.",
      words`turn one of them on: ${option("outputAdapter", true)}.`,
    );
  const { reductionFactor: factor } = c;
  if (typeof factor === "object" && Object.values(factor).some((n) => n <= 0))
    fault(
      words`${option("reductionFactor")} has a number that is not above 0.`,
      "it is the model's width over the bottleneck's.",
      words`${option("reductionFactor", 16)}.`,
    );
  if (c.residualBeforeLn === "post_add" && !c.originalLnBefore)
    fault(
      words`${option("residualBeforeLn", "post_add")} is given with ${option("originalLnBefore", false)}.`,
      "the sum that it adds is the one that originalLnBefore makes.",
      words`${option("originalLnBefore", true)}.`,
    );
  if (c.phmLayer && c.initWeights !== "bert")
    fault(
      words`${option("initWeights", c.initWeights)} is given with ${option("phmLayer", true)}.`,
      "layers of Kronecker products have no such start, in the library neither.",
      words`${option("initWeights", "bert")}.`,
    );
}

/** Width over the bottleneck's in a layer; undefined: the map has none for it. */
export function factorAt({ reductionFactor }: BottleneckConfig, layer: number): number | undefined {
  return typeof reductionFactor === "number"
    ? reductionFactor
    : (reductionFactor[`${layer}`] ?? reductionFactor["default"]);
}
