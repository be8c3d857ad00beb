import { PeftError } from "../errors.js";
import type { Graph } from "../graph/graph.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { cayley, flipped, readBlocks, timesBlocks } from "./block_rotation.js";
import { checkDivides } from "./block_sizes.js";
import { OptionReader } from "./checks.js";
import { upright } from "./delta.js";
import { perRow } from "./gate.js";
import { ONE, ZERO } from "./initial.js";
import type { LayerOptions } from "./layer_config.js";
import { LayerConfig, layerFields } from "./layer_config.js";
import type { Adapted, AdapterConfig, Json, Merging, Method, ParameterSpec, SiteMethod } from "./method.js";

/** Options of BOFT. */
export interface BOFTOptions extends LayerOptions {
  /** Size of a block; it divides the inputs of all targets. Default 4. */
  boftBlockSize?: number | undefined;
  /** How many blocks; with it goes boftBlockSize: 0. Default 0: as many as the size gives. */
  boftBlockNum?: number | undefined;
  /** How many rotations follow each other, each among blocks twice as far apart. Default 1: that of OFT. */
  boftNButterflyFactor?: number | undefined;
  /** Python's word for weights stored [in, out]; here it is known from the model, and only recorded. */
  fanInFanOut?: boolean | undefined;
  /** Biases of the base that train too. Default "none". */
  bias?: "none" | "all" | "boft_only" | undefined;
  /** Start without effect (default), or at random. */
  initWeights?: boolean | undefined;
}

const fields: Readonly<Record<string, Json>> = {
  ...layerFields("BOFT"),
  boft_block_size: 4,
  boft_block_num: 0,
  boft_n_butterfly_factor: 1,
  boft_dropout: 0,
  fan_in_fan_out: false,
  bias: "none",
  init_weights: true,
};

/** Config of BOFT (arXiv 2311.06243). Throws "adapter-config". Reference: peft/tuners/boft/config.py */
export class BOFTConfig extends LayerConfig implements AdapterConfig {
  readonly peftType = "BOFT";
  readonly boftBlockSize: number;
  readonly boftBlockNum: number;
  readonly boftNButterflyFactor: number;
  readonly fanInFanOut: boolean;
  readonly bias: "none" | "all" | "boft_only";
  readonly initWeights: boolean;

  constructor(options: BOFTOptions = {}) {
    const read = new OptionReader("BOFTConfig", options, fields);
    super(read);
    const blocks = readBlocks(read, { key: "boftBlockSize", byDefault: 4 }, { key: "boftBlockNum" });
    this.boftBlockSize = blocks.size;
    this.boftBlockNum = blocks.count;
    this.boftNButterflyFactor = read.integer("boftNButterflyFactor", { min: 1 }) ?? 1;
    this.fanInFanOut = read.flag("fanInFanOut", false);
    this.bias = read.oneOf("bias", ["none", "all", "boft_only"], "none");
    this.initWeights = read.flag("initWeights", true);
    read.unsupported(["boftDropout"]);
    read.done();
  }
}

/** How many blocks of what size; both are even where blocks are mixed. Throws "adapter-config". */
function blocksOf(c: BOFTConfig, site: LinearSite): { blocks: number; size: number } {
  const { path, inDim } = site;
  const { boftBlockSize: size, boftBlockNum: count, boftNButterflyFactor: factors } = c;
  const [option, given] = size > 0 ? (["boftBlockSize", size] as const) : (["boftBlockNum", count] as const);
  checkDivides(site, { option, count: given, sizes: [inDim] });
  const found = size > 0 ? { blocks: inDim / size, size } : { blocks: count, size: inDim / count };
  const most = 2 ** (factors - 1);
  if (factors > 1 && (found.blocks % most !== 0 || found.size % 2 !== 0))
    throw new PeftError("adapter-config", {
      what: `boftNButterflyFactor is ${factors} at ${path}, with ${found.blocks} blocks of ${found.size}.`,
      why: `halves of ${most} blocks are mixed: the size is even, the number a multiple of ${most}.`,
      fix: "boftNButterflyFactor: 1, or another block size.",
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

function factorsOf({ g, p, site }: Pick<Adapted<LinearSite>, "g" | "p" | "site">, c: BOFTConfig): Factor[] {
  const { size } = blocksOf(c, site);
  const all = p("boft_R");
  return Array.from({ length: c.boftNButterflyFactor }, (_, i) => {
    const data = g.squeeze(g.slice(all, 0, i, i + 1), 0); // [blocks, size, size]
    const q = g.mul(g.sub(data, flipped(g, data)), 0.5);
    return {
      d: cayley(g, q),
      order: i === 0 ? undefined : butterfly(g, site.inDim, size * 2 ** i, size / 2),
    };
  });
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

/**
 * Rotates a layer's input by a product of sparse rotations, and scales its output. arXiv 2311.06243. Where
 * its CUDA extension is not built, Python has one factor whatever the config says; here there are as many as
 * it says. Reference: peft/tuners/boft/layer.py
 */
export const boft: Method<BOFTConfig> = {
  peftType: "BOFT",
  name: "boft",
  fields,
  floats: ["boft_dropout"],
  create: (options) => new BOFTConfig(options as BOFTOptions),
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    bias: (c) => c.bias,
    linear: { parameters, forward, merge } satisfies SiteMethod<BOFTConfig, LinearSite>,
  },
};
