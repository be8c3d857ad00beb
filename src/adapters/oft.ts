import type { Graph } from "../graph/graph.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { cayley, flipped, readBlocks, timesBlocks } from "./block_rotation.js";
import { OptionReader } from "./checks.js";
import { upright } from "./delta.js";
import { perRow } from "./gate.js";
import { ZERO } from "./initial.js";
import type { LayerOptions } from "./layer_config.js";
import { LayerConfig, layerFields } from "./layer_config.js";
import type { Adapted, AdapterConfig, Json, Merging, Method, SiteMethod } from "./method.js";

/** Options of OFT. */
export interface OFTOptions extends LayerOptions {
  /**
   * How many blocks the input is cut into; with it goes oftBlockSize: 0. Default 0: as many as the size
   * gives.
   */
  r?: number | undefined;
  /** Size of a block; where it does not divide a layer's inputs, the nearest size that does. Default 32. */
  oftBlockSize?: number | undefined;
  /** Python's word for weights stored [in, out]; here it is known from the model, and only recorded. */
  fanInFanOut?: boolean | undefined;
  /** Biases of the base that train too. Default "none". */
  bias?: "none" | "all" | "oft_only" | undefined;
  /** Start without effect (default), or at random. */
  initWeights?: boolean | undefined;
  /** Control of the constrained variant, which is not built; only recorded. Default 6e-5. */
  eps?: number | undefined;
  /** One rotation for all blocks. Default false. */
  blockShare?: boolean | undefined;
  /** Rotate by a few terms of a series (default), or exactly, which takes a matrix's inverse. */
  useCayleyNeumann?: boolean | undefined;
  /** Terms of the series. Default 5. */
  numCayleyNeumannTerms?: number | undefined;
}

const fields: Readonly<Record<string, Json>> = {
  ...layerFields("OFT"),
  r: 0,
  oft_block_size: 32,
  module_dropout: 0,
  fan_in_fan_out: false,
  bias: "none",
  init_weights: true,
  coft: false,
  eps: 6e-5,
  block_share: false,
  use_cayley_neumann: true,
  num_cayley_neumann_terms: 5,
};

/** Config of OFT (arXiv 2306.07280). Throws "adapter-config". Reference: peft/tuners/oft/config.py */
export class OFTConfig extends LayerConfig implements AdapterConfig {
  readonly peftType = "OFT";
  readonly r: number;
  readonly oftBlockSize: number;
  readonly fanInFanOut: boolean;
  readonly bias: "none" | "all" | "oft_only";
  readonly initWeights: boolean;
  readonly eps: number;
  readonly blockShare: boolean;
  readonly useCayleyNeumann: boolean;
  readonly numCayleyNeumannTerms: number;

  constructor(options: OFTOptions = {}) {
    const read = new OptionReader("OFTConfig", options, fields);
    super(read);
    const blocks = readBlocks(read, { key: "oftBlockSize", byDefault: 32 }, { key: "r" });
    this.r = blocks.count;
    this.oftBlockSize = blocks.size;
    this.fanInFanOut = read.flag("fanInFanOut", false);
    this.bias = read.oneOf("bias", ["none", "all", "oft_only"], "none");
    this.initWeights = read.flag("initWeights", true);
    this.eps = read.number("eps") ?? 6e-5;
    this.blockShare = read.flag("blockShare", false);
    this.useCayleyNeumann = read.flag("useCayleyNeumann", true);
    this.numCayleyNeumannTerms = read.integer("numCayleyNeumannTerms") ?? 5;
    read.unsupported(["moduleDropout", "coft"]);
    read.done();
  }
}

/** How many blocks of what size; sizes that do not divide the width are moved to the nearest that does. */
function blocksOf({ r, oftBlockSize }: OFTConfig, { inDim }: LinearSite): { blocks: number; size: number } {
  if (oftBlockSize === 0) {
    const blocks = nearestDivisor(inDim, r);
    return { blocks, size: inDim / blocks };
  }
  const size = nearestDivisor(inDim, oftBlockSize);
  return { blocks: inDim / size, size };
}

/** Of two that are equally near, the lower one. */
function nearestDivisor(width: number, wanted: number): number {
  for (let distance = 0; distance < wanted; distance++) {
    if (width % (wanted - distance) === 0) return wanted - distance;
    if (width % (wanted + distance) === 0) return wanted + distance;
  }
  return 1;
}

/** Q [blocks, size, size]: the vector's numbers above the diagonal, row by row, and their negatives below. */
function skew(g: Graph, vector: Tensor, size: number): Tensor {
  const at = (i: number, j: number): number => i * size - (i * (i + 1)) / 2 + (j - i - 1);
  const places = Array.from({ length: size * size }, (_, n) => [Math.floor(n / size), n % size] as const);
  const ids = places.map(([i, j]) => (i === j ? 0 : at(Math.min(i, j), Math.max(i, j))));
  const signs = places.map(([i, j]) => Math.sign(j - i));
  const spread = g.gather(vector, g.constant(ids, [size, size], "i64"), 1);
  return g.mul(spread, g.constant(signs, [size, size]));
}

/**
 * D = 2 Q + 2 Q^2 + ... + Q^n: the Neumann series of (I + Q) (I - Q)^-1 - I, as Python cuts it off (3
 * terms are 4).
 */
function neumann(g: Graph, q: Tensor, terms: number): Tensor {
  if (terms < 2) return g.mul(q, 0);
  if (terms === 2) return g.mul(q, 2);
  let power = g.matmul(q, q);
  let sum = g.add(q, power);
  for (let n = 3; n < terms - 1; n++) {
    power = g.matmul(power, q);
    sum = g.add(sum, power);
  }
  return g.add(g.mul(sum, 2), g.matmul(power, q));
}

/** D = R - I [blocks, size, size], or [1, size, size] for all */
function rotation({ g, p, site }: Pick<Adapted<LinearSite>, "g" | "p" | "site">, c: OFTConfig): Tensor {
  const { blocks, size } = blocksOf(c, site);
  if (size === 1) return g.zeros([c.blockShare ? 1 : blocks, 1, 1]); // of an empty parameter
  const q = skew(g, p("oft_R.weight"), size);
  return c.useCayleyNeumann ? neumann(g, q, c.numCayleyNeumannTerms) : cayley(g, q);
}

/** y = W (x R) + b for rows x: x R = x + x D */
function forward(a: Adapted<LinearSite>, x: Tensor, c: OFTConfig): Tensor {
  const { g } = a;
  return a.next(g.add(x, g.mul(timesBlocks(g, x, rotation(a, c)), perRow(g, a.gate, x))));
}

/** W R^T = W + W D^T */
function merge(m: Merging<LinearSite>, c: OFTConfig): { weight: Tensor } {
  const { g, site } = m;
  const change = timesBlocks(g, upright(g, site, m.weight), flipped(g, rotation(m, c)));
  return { weight: g.add(m.weight, upright(g, site, change)) };
}

const linear: SiteMethod<OFTConfig, LinearSite> = {
  parameters: (c, site) => {
    const { blocks, size } = blocksOf(c, site);
    return [
      {
        key: "oft_R.weight",
        shape: [c.blockShare ? 1 : blocks, (size * (size - 1)) / 2],
        initial: c.initWeights ? ZERO : { kind: "normal", std: 0.1 },
      },
    ];
  },
  forward,
  merge,
};

/** Rotates a layer's input block by block. arXiv 2306.07280. Reference: peft/tuners/oft/layer.py */
export const oft: Method<OFTConfig> = {
  peftType: "OFT",
  name: "oft",
  fields,
  floats: ["module_dropout"],
  create: (options) => new OFTConfig(options as OFTOptions),
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    bias: (c) => c.bias,
    linear,
  },
};
