import { lengthAt } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { ConvSite, LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { cayley, checkOneGiven, flipped, timesBlocks } from "./block_rotation.js";
import { configClass } from "./config.js";
import type { OFTOptions, OFTValues } from "./config_types.js";
import { asKernel, asLinear, asMatrix } from "./conv_layers.js";
import { upright } from "./delta.js";
import { perRow } from "./gate.js";
import { ZERO } from "./initial.js";
import type {
  Adapted,
  ConfigClass,
  Merging,
  Method,
  MethodTable,
  NamedTensor,
  SiteMethod,
} from "./method.js";
import {
  bias,
  blocks,
  fanInFanOut,
  moduleDropout,
  saving,
  startsWithoutEffect,
  targets,
} from "./shared_options.js";

const options: MethodTable = {
  ...saving,
  ...targets,
  ...blocks,
  r: {
    kind: "whole",
    min: 0,
    byDefault: 0,
    also: ["rank", "loraR"],
    means: "how many blocks the input is cut into, with oftBlockSize 0; 0: as many as the size gives",
  },
  oftBlockSize: {
    kind: "whole",
    min: 0,
    byDefault: 32,
    means: "size of a block; where it does not divide a layer's inputs, the nearest that does; 0: as r gives",
  },
  fanInFanOut,
  bias: bias("oft_only"),
  initWeights: startsWithoutEffect,
  moduleDropout: {
    ...moduleDropout,
    means: "of blocks; only recorded, as Python's PEFT 0.21.2 applies none",
    fileOnly: true,
  },
  coft: {
    kind: "flag",
    byDefault: false,
    means:
      "keep rotations near the identity (constrained OFT): each block's Q is cut to the length coftEps / sqrt(blocks)",
  },
  coftEps: {
    kind: "number",
    min: 0,
    byDefault: 6e-5,
    python: "eps",
    means: "that length before it is divided, with coft",
  },
  blockShare: { kind: "flag", byDefault: false, means: "one rotation for all blocks" },
  useCayleyNeumann: {
    kind: "flag",
    byDefault: true,
    means: "rotate by a few terms of a series; off: exactly, which takes a matrix's inverse",
  },
  numCayleyNeumannTerms: { kind: "whole", byDefault: 5, means: "terms of that series" },
};

export type { OFTOptions };
export type OFTConfig = OFTValues;
/**
 * Config of OFT (arXiv 2306.07280). Reference: peft/tuners/oft/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, OFTConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new OFTConfig({ oftBlockSize: 32 }));
 * ```
 */
export const OFTConfig: ConfigClass<OFTValues, OFTOptions> = configClass("OFT", "OFTConfig", {
  options,
  check: (c, fault) => checkOneGiven(c, { size: "oftBlockSize", count: "r", usual: 32 }, fault),
});

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

/** The length to which the Q of each of so many blocks is cut. */
function limitOf({ coftEps }: OFTConfig, blocks: number): number {
  return coftEps / Math.sqrt(blocks);
}

/** Q's numbers [blocks, n], cut to the length that Q may have. The gradient is that of what is not cut. */
function cut(g: Graph, vector: Tensor, c: OFTConfig): Tensor {
  const limit = limitOf(c, lengthAt(vector.shape, 0));
  const v = g.detach(vector);
  const length = g.sqrt(g.mul(g.sum(g.square(v), 1, true), 2)); // each number stands twice in Q
  const inside = g.where(g.lessEqual(length, limit), v, g.mul(v, g.div(limit, g.max(length, 1e-30))));
  return g.add(vector, g.sub(inside, v));
}

/** The same in what is stored, as each of Python's forward passes leaves it. */
function constrain(c: OFTConfig, tensors: readonly NamedTensor[]): void {
  if (!c.coft) return;
  for (const { shape, data } of tensors) {
    const [blocks = 1, n = 1] = shape;
    const limit = limitOf(c, blocks);
    for (let block = 0; block < blocks; block++) {
      const row = data.subarray(block * n, (block + 1) * n);
      const length = Math.sqrt(2 * row.reduce((sum, x) => sum + x * x, 0));
      if (length <= limit) continue;
      for (const [i, x] of row.entries()) row[i] = (x * limit) / length;
    }
  }
}

/** D = R - I [blocks, size, size], or [1, size, size] for all */
function rotation({ g, p, site }: Pick<Adapted<LinearSite>, "g" | "p" | "site">, c: OFTConfig): Tensor {
  const { blocks, size } = blocksOf(c, site);
  if (size === 1) return g.zeros([c.blockShare ? 1 : blocks, 1, 1]); // of an empty parameter
  const vector = p("oft_R.weight");
  const q = skew(g, c.coft ? cut(g, vector, c) : vector, size);
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

/**
 * What a kernel sees at each place, one pixel after another, is rotated, x R, and laid back, one over
 * another. Python takes places for kernel elements where it lays them back, so that an adapter of zeroes
 * changes the model too; adapters trained there want the same. Merging rotates the kernel, W R^T.
 */
function turnedPictures(a: Adapted<ConvSite>, x: Tensor, c: OFTConfig): Tensor {
  const { g, site: conv } = a;
  const site = asLinear(conv);
  const own = g.cast(g.equal(g.unsqueeze(g.iota(site.inDim), 1), g.iota(site.inDim)), "f32"); // I
  const turned = g.add(own, timesBlocks(g, own, rotation({ ...a, site }, c))); // R
  const asKernels = (rows: Tensor): Tensor => g.reshape(rows, [site.inDim, conv.inChannels, ...conv.kernel]);
  const each = (value: number): number[] => conv.kernel.map(() => value);
  const how = { stride: each(1), padding: each(0), dilation: each(1), groups: 1 };
  const seen = g.conv(x, asKernels(g.transpose(turned, [1, 0])), how); // [batch, inDim, ...]
  const [batch, , ...places] = seen.shape;
  const { inChannels, kernel } = conv;
  const axes = [...kernel, ...places].map((_, i) => i + 2);
  const order = [0, 1, ...axes.slice(kernel.length), ...axes.slice(0, kernel.length)];
  const laid = g.transpose(g.reshape(seen, [batch ?? 1, inChannels, ...kernel, ...places]), order);
  return g.convTranspose(g.reshape(laid, seen.shape), asKernels(own), how, x.shape.slice(2));
}

const conv: SiteMethod<OFTConfig, ConvSite> = {
  parameters: (c, site) => linear.parameters(c, asLinear(site)),
  forward: (a, x, c) => {
    const { g } = a;
    const change = g.sub(turnedPictures(a, x, c), x);
    return a.next(g.add(x, g.mul(change, perRow(g, a.gate, x))));
  },
  merge: (m, c) => {
    const { g, site } = m;
    const change = timesBlocks(
      g,
      asMatrix(g, site, m.weight),
      flipped(g, rotation({ ...m, site: asLinear(site) }, c)),
    );
    return { weight: g.add(m.weight, asKernel(g, site, change)) };
  },
  merges: (_, site) => site.groups === 1,
};

/** Rotates a layer's input block by block. arXiv 2306.07280. Reference: peft/tuners/oft/layer.py */
export const oft: Method<OFTConfig> = {
  name: "oft",
  config: OFTConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    bias: (c) => c.bias,
    linear,
    conv,
    constrain,
  },
};
