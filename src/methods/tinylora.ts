import type { EmbeddingSite, LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { configClass } from "./config.js";
import type { TinyLoraOptions, TinyLoraValues } from "./config_types.js";
import { asLinear } from "./conv_layers.js";
import { withDelta } from "./delta.js";
import { withChange } from "./gate.js";
import { pissa, prepared } from "./lora_start.js";
import type {
  Adapted,
  ConfigClass,
  Initial,
  Merging,
  Method,
  MethodTable,
  ParameterSpec,
  Place,
  Prepared,
  Site,
  SiteMethod,
} from "./method.js";
import { roundToEven } from "./round.js";
import { bias, blocks, dropout, fanInFanOut, rank, saving, seedOf, targetModules } from "./shared_options.js";
import { TorchRandom } from "./torch_random.js";

const options: MethodTable = {
  ...saving,
  targetModules,
  ...blocks,
  r: rank(2, "how many singular directions of each weight are used"),
  u: { kind: "whole", min: 1, byDefault: 64, means: "how many numbers are trained for each group of layers" },
  weightTying: {
    kind: "number",
    min: 0,
    max: 1,
    byDefault: 0,
    float: true,
    means: "share of layers that have no numbers of their own: at 0 each layer has some, at 1 all share them",
  },
  projectionSeed: seedOf("of the projections; layer i has this plus i", 42),
  saveProjection: {
    kind: "flag",
    byDefault: true,
    means: "save the projections with the adapter; off: draw them again from the seed",
  },
  initVBound: {
    kind: "number",
    python: "init_v_bound",
    min: 0,
    byDefault: 0.02,
    means: "the trained numbers start uniform within this bound where initWeights is uniform",
  },
  tinyloraDropout: dropout,
  fanInFanOut,
  bias: bias("tinylora_only"),
  initWeights: {
    kind: "flag",
    choices: ["uniform"],
    byDefault: true,
    means:
      "true: start without effect; uniform: within the bound; false: the same, where Python leaves it open",
  },
};

export type { TinyLoraOptions };
export type TinyLoraConfig = TinyLoraValues;
/**
 * Config of TinyLoRA (arXiv 2602.04118). Reference: peft/tuners/tinylora/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, TinyLoraConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new TinyLoraConfig({ u: 64 }));
 * ```
 */
export const TinyLoraConfig: ConfigClass<TinyLoraValues, TinyLoraOptions> = configClass(
  "TINYLORA",
  "TinyLoraConfig",
  {
    options,
  },
);

const groupsOf = (c: TinyLoraConfig, layers: number): number =>
  Math.max(1, roundToEven(layers * (1 - c.weightTying)));

/** The key of the trained numbers that a layer has with its group. */
function vectorAt(c: TinyLoraConfig, site: Site, all: readonly Site[] = [site]): string {
  const groups = groupsOf(c, all.length);
  const size = Math.max(1, Math.floor(all.length / groups));
  return `tinylora_v.${Math.min(Math.floor(indexOf(site, all) / size), groups - 1)}`;
}

const indexOf = (site: Site, all: readonly Site[]): number => all.findIndex(({ path }) => path === site.path);

/** Rows and columns of W as it is decomposed. */
function sizeOf(site: Site): { readonly outDim: number; readonly inDim: number } {
  if ("kernel" in site) return asLinear(site);
  return "inDim" in site ? site : { outDim: site.vocab, inDim: site.dim };
}

const rankAt = (c: TinyLoraConfig, site: Site): number =>
  Math.min(c.r, sizeOf(site).inDim, sizeOf(site).outDim);

function parameters(c: TinyLoraConfig, site: Site, all: readonly Site[] = [site]): ParameterSpec[] {
  const { inDim, outDim } = sizeOf(site);
  const r = rankAt(c, site);
  const make = (data: Float32Array): void =>
    new TorchRandom(c.projectionSeed + indexOf(site, all)).normal(data, 1 / Math.sqrt(r));
  return [
    { key: "tinylora_A", shape: [r, inDim], initial: { kind: "prepared" }, frozen: "saved" },
    { key: "tinylora_B", shape: [outDim, r], initial: { kind: "prepared" }, frozen: "saved" },
    {
      key: "tinylora_P",
      shape: [c.u, r, r],
      initial: { kind: "made", make },
      frozen: c.saveProjection ? "saved" : "derived",
    },
  ];
}

/** W's singular directions: B = U sqrt(S), A = sqrt(S) V^T. */
function prepare(c: TinyLoraConfig, site: Site, weight: Float32Array, random: () => number): Prepared {
  const transposed = "inDim" in site && site.transposed;
  const { inDim, outDim } = sizeOf(site);
  const start = { weight, inDim, outDim, transposed, r: rankAt(c, site), scale: 1, random };
  return { parameters: prepared(["tinylora_A", "tinylora_B"], pissa(start)) };
}

/** R = sum_i v_i P_i, [r, r] */
function mixed(
  { g, p, shared, site, all }: Pick<Place, "g" | "p" | "shared"> & Pick<Adapted<Site>, "site" | "all">,
  c: TinyLoraConfig,
): Tensor {
  const r = rankAt(c, site);
  const v = g.unsqueeze(shared(vectorAt(c, site, all)), 0);
  return g.reshape(g.matmul(v, g.reshape(p("tinylora_P"), [c.u, r * r])), [r, r]);
}

/** y + B R A x */
function forward(a: Adapted<LinearSite>, x: Tensor, c: TinyLoraConfig): Tensor {
  const { g, p } = a;
  const low = g.linear(g.linear(a.dropout(x, c.tinyloraDropout), p("tinylora_A")), mixed(a, c));
  return withChange(a, x, g.linear(low, p("tinylora_B")));
}

/** y + B[ids] R A */
function embeddingForward(a: Adapted<EmbeddingSite>, ids: Tensor, c: TinyLoraConfig): Tensor {
  const { g, p } = a;
  const rows = g.gather(p("tinylora_B"), ids); // [batch, seq, r]
  const low = g.linear(rows, mixed(a, c), true);
  return withChange(a, ids, g.linear(low, p("tinylora_A"), true));
}

function delta(m: Merging<Site>, c: TinyLoraConfig): Tensor {
  const { g, p } = m;
  return g.matmul(g.matmul(p("tinylora_B"), mixed(m, c)), p("tinylora_A"));
}

const linear: SiteMethod<TinyLoraConfig, LinearSite> = {
  parameters,
  forward,
  merge: (m, c) => withDelta(m, delta(m, c)),
  prepare,
  structure: (c, site) => `${rankAt(c, site)} dropout ${c.tinyloraDropout}`,
};

const embedding: SiteMethod<TinyLoraConfig, EmbeddingSite> = {
  parameters,
  forward: embeddingForward,
  merge: (m, c) => ({ weight: m.g.add(m.weight, m.g.mul(delta(m, c), m.scale)) }),
  prepare,
  structure: (c, site) => `${rankAt(c, site)}`,
};

function shared(
  c: TinyLoraConfig,
  sites: readonly LinearSite[],
  embeddings: readonly EmbeddingSite[] = [],
): ParameterSpec[] {
  const groups = groupsOf(c, sites.length + embeddings.length);
  const initial: Initial = { kind: "uniform", bound: c.initWeights === true ? 0 : c.initVBound };
  return Array.from({ length: groups }, (_, i) => ({ key: `tinylora_v.${i}`, shape: [c.u], initial }));
}

/**
 * A few numbers for each group of layers, which mix random matrices between the singular directions of their
 * weights. arXiv 2602.04118. Reference: peft/tuners/tinylora/layer.py
 */
export const tinylora: Method<TinyLoraConfig> = {
  name: "tinylora",
  config: TinyLoraConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    bias: (c) => c.bias,
    linear,
    embedding,
    shared,
  },
};
