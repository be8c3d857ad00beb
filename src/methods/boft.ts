import { PeftError } from "../errors.js";
import type { Graph } from "../graph/graph.js";
import type { ConvSite, LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { option, words } from "../words.js";
import { cayley, checkOneGiven, flipped, timesBlocks } from "./block_rotation.js";
import { checkDivides } from "./block_sizes.js";
import { configClass } from "./config.js";
import type { BOFTOptions, BOFTValues } from "./config_types.js";
import { addsToKernel, asLinear } from "./conv_layers.js";
import { upright } from "./delta.js";
import { perRow } from "./gate.js";
import { ONE, ZERO } from "./initial.js";
import type {
  Adapted,
  ConfigClass,
  Merging,
  Method,
  MethodTable,
  ParameterSpec,
  Place,
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
import { keptBlocks } from "./weight_dropout.js";

const options: MethodTable = {
  ...saving,
  ...targets,
  ...blocks,
  boftBlockSize: {
    kind: "whole",
    min: 0,
    byDefault: 4,
    means: "size of a block, which divides the inputs of all targets; 0: as boftBlockNum gives",
  },
  boftBlockNum: {
    kind: "whole",
    min: 0,
    byDefault: 0,
    means: "how many blocks, with boftBlockSize 0; 0: as many as the size gives",
  },
  boftNButterflyFactor: {
    kind: "whole",
    python: "boft_n_butterfly_factor",
    min: 1,
    byDefault: 1,
    means: "how many rotations follow each other, each among blocks twice as far apart; 1 is OFT's",
  },
  boftDropout: {
    ...moduleDropout,
    means: "share of the blocks of one of the rotations that are dropped, drawn for each pass in training",
  },
  fanInFanOut,
  bias: bias("boft_only"),
  initWeights: startsWithoutEffect,
};

export type { BOFTOptions };
export type BOFTConfig = BOFTValues;
/**
 * Config of BOFT (arXiv 2311.06243). Reference: peft/tuners/boft/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, BOFTConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new BOFTConfig({ boftBlockSize: 4 }));
 * ```
 */
export const BOFTConfig: ConfigClass<BOFTValues, BOFTOptions> = configClass("BOFT", "BOFTConfig", {
  options,
  check: (c, fault) => checkOneGiven(c, { size: "boftBlockSize", count: "boftBlockNum", usual: 4 }, fault),
});

/** How many blocks of what size; both are even where blocks are mixed. Throws "adapter-config". */
function blocksOf(c: BOFTConfig, site: LinearSite): { blocks: number; size: number } {
  const { path, inDim } = site;
  const { boftBlockSize: size, boftBlockNum: count, boftNButterflyFactor: factors } = c;
  const [name, given] = size > 0 ? (["boftBlockSize", size] as const) : (["boftBlockNum", count] as const);
  checkDivides(site, { name, count: given, sizes: [inDim] });
  const found = size > 0 ? { blocks: inDim / size, size } : { blocks: count, size: inDim / count };
  const most = 2 ** (factors - 1);
  if (factors > 1 && (found.blocks % most !== 0 || found.size % 2 !== 0))
    throw new PeftError("adapter-config", {
      what: words`${option("boftNButterflyFactor")} is ${factors} at ${path}, with ${found.blocks} blocks of ${found.size}.`,
      why: `halves of ${most} blocks are mixed: the size is even, the number a multiple of ${most}.`,
      fix: words`${option("boftNButterflyFactor", 1)}, or another block size.`,
    });
  return found;
}

function parameters(c: BOFTConfig, site: LinearSite): ParameterSpec[] {
  const { blocks, size } = blocksOf(c, site);
  return [
    {
      key: "boft_R",
      shape: [c.boftNButterflyFactor, blocks, size, size],
      initial: c.initWeights ? ZERO : { kind: "normal", std: 0.1 },
    },
    {
      key: "boft_s",
      shape: [site.outDim, 1],
      initial: c.initWeights ? ONE : { kind: "normal", mean: 1, std: 0.1 },
    },
  ];
}

/**
 * One rotation: its blocks D = R - I, and where its inputs are taken from; undefined: from where they
 * are.
 */
interface Factor {
  readonly d: Tensor;
  readonly order: { readonly from: Tensor; readonly back: Tensor } | undefined;
}

function factorsOf(
  { g, p, site, draw }: Pick<Adapted<LinearSite>, "g" | "p" | "site"> & Partial<Pick<Place, "draw">>,
  c: BOFTConfig,
): Factor[] {
  const { size, blocks } = blocksOf(c, site);
  const all = p("boft_R");
  const dropped = Math.floor(c.boftDropout * blocks);
  const drawn = dropped > 0 ? draw?.("blocks", [blocks + 1]) : undefined;
  return Array.from({ length: c.boftNButterflyFactor }, (_, i) => {
    const data = g.squeeze(g.slice(all, 0, i, i + 1), 0); // [blocks, size, size]
    const q = g.mul(g.sub(data, flipped(g, data)), 0.5);
    const d = cayley(g, q);
    return {
      d: drawn ? g.mul(d, keptOf(g, drawn, { i, blocks, dropped }, c)) : d,
      order: i === 0 ? undefined : butterfly(g, site.inDim, size * 2 ** i, size / 2),
    };
  });
}

/** Which blocks of factor i stay: all, but where the last number of `drawn` falls on it. [blocks, 1, 1] */
function keptOf(
  g: Graph,
  drawn: Tensor,
  { i, blocks, dropped }: { readonly i: number; readonly blocks: number; readonly dropped: number },
  { boftNButterflyFactor: factors }: BOFTConfig,
): Tensor {
  const chosen = g.slice(drawn, 0, blocks, blocks + 1);
  const kept = keptBlocks(g, g.slice(drawn, 0, 0, blocks), blocks, dropped);
  const orLater = g.where(g.less(chosen, (i + 1) / factors), kept, 1);
  return g.reshape(g.where(g.less(chosen, i / factors), 1, orLater), [blocks, 1, 1]);
}

/**
 * Within each stretch of a length, the pieces at even places and then those at odd ones: to there, and
 * back.
 */
function butterfly(g: Graph, width: number, length: number, piece: number): Factor["order"] {
  const pieces = length / piece;
  const back = Array.from({ length: width }, (_, n) => {
    const place = Math.floor((n % length) / piece);
    const source = place < pieces / 2 ? 2 * place : 2 * (place - pieces / 2) + 1;
    return n - (n % length) + source * piece + (n % piece);
  });
  const from = new Array<number>(width);
  back.forEach((n, i) => void (from[n] = i));
  return { from: g.constant(from, [width], "i64"), back: g.constant(back, [width], "i64") };
}

/** Rows x [..., inDim] by one rotation: x + (x P) D P^T */
function turned(g: Graph, x: Tensor, { d, order }: Factor, gate?: Tensor): Tensor {
  const taken = order === undefined ? x : g.gather(x, order.from, -1);
  const change = timesBlocks(g, taken, d);
  const placed = order === undefined ? change : g.gather(change, order.back, -1);
  return g.add(x, gate === undefined ? placed : g.mul(placed, gate));
}

/** y = s o W (x R) + b for rows x, R the product of all rotations, the last one first */
function forward(a: Adapted<LinearSite>, x: Tensor, c: BOFTConfig): Tensor {
  const { g, site } = a;
  const gate = perRow(g, a.gate, x);
  const rotated = factorsOf(a, c).reduceRight((rows, factor) => turned(g, rows, factor, gate), x);
  const y = a.next(rotated);
  const bias = a.bias();
  const product = bias === undefined ? y : g.sub(y, bias);
  const change = g.mul(g.sub(g.reshape(a.p("boft_s"), [site.outDim]), 1), perRow(g, a.gate, y));
  return g.add(y, g.mul(product, change));
}

/** s o W R^T */
function merge(m: Merging<LinearSite>, c: BOFTConfig): { weight: Tensor } {
  const { g, site } = m;
  const rotated = factorsOf(m, c).reduce(
    (rows, { d, order }) => turned(g, rows, { d: flipped(g, d), order }),
    upright(g, site, m.weight),
  );
  return { weight: upright(g, site, g.mul(rotated, m.p("boft_s"))) };
}

/** s o W R^T, with s [1, outChannels] as Python has it there */
const conv: SiteMethod<BOFTConfig, ConvSite> = {
  parameters: (c, site) =>
    parameters(c, asLinear(site)).map((spec) =>
      spec.key === "boft_s" ? { ...spec, shape: [1, site.outChannels] } : spec,
    ),
  ...addsToKernel<BOFTConfig>((parts, c) => {
    const { g, p, weight, site } = parts;
    const rotated = factorsOf(parts, c).reduce(
      (rows, { d, order }) => turned(g, rows, { d: flipped(g, d), order }),
      weight(),
    );
    return g.sub(g.mul(rotated, g.reshape(p("boft_s"), [site.outDim, 1])), weight());
  }),
};

/**
 * Rotates a layer's input by a product of sparse rotations, and scales its output. arXiv 2311.06243. Where
 * its CUDA extension is not built, Python has one factor whatever the config says; here there are as many as
 * it says. Reference: peft/tuners/boft/layer.py
 */
export const boft: Method<BOFTConfig> = {
  name: "boft",
  config: BOFTConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    bias: (c) => c.bias,
    linear: { parameters, forward, merge } satisfies SiteMethod<BOFTConfig, LinearSite>,
    conv,
  },
};
