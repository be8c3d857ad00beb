import { PeftError } from "../errors.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { OptionReader } from "./checks.js";
import type { DeltaParts } from "./delta.js";
import { upright } from "./delta.js";
import { perRow } from "./gate.js";
import type { LayerOptions } from "./layer_config.js";
import { LayerConfig, layerFields } from "./layer_config.js";
import type { Adapted, AdapterConfig, Json, Merging, Method, ParameterSpec } from "./method.js";

/** Options of VB-LoRA. */
export interface VBLoRAOptions extends LayerOptions {
  /** The rank. Default 4. */
  r?: number | undefined;
  /** Vectors in the bank that all layers share. Default 256. */
  numVectors?: number | undefined;
  /** Their length; it divides the widths of all adapted layers. Default 256. */
  vectorLength?: number | undefined;
  /** How many vectors each piece of a matrix is mixed of. Default 2. */
  topk?: number | undefined;
  /** Rate of dropout on the adapter's input in training. Default 0. */
  vbloraDropout?: number | undefined;
  /** Biases of the base that train too. Default "none". */
  bias?: "none" | "all" | "vblora_only" | undefined;
  /** Python's word for weights stored [in, out]; here it is known from the model, and only recorded. */
  fanInFanOut?: boolean | undefined;
  /** The bank starts uniform within this bound. Default 0.02. */
  initVectorBankBound?: number | undefined;
  /** Standard deviation of the logits at the start. Default 0.1. */
  initLogitsStd?: number | undefined;
}

const fields: Readonly<Record<string, Json>> = {
  ...layerFields("VBLORA"),
  r: 4,
  num_vectors: 256,
  vector_length: 256,
  topk: 2,
  save_only_topk_weights: false,
  vblora_dropout: 0,
  fan_in_fan_out: false,
  bias: "none",
  init_vector_bank_bound: 0.02,
  init_logits_std: 0.1,
};

/** Config of VB-LoRA (arXiv 2405.15179). Throws "adapter-config". Reference: peft/tuners/vblora/config.py */
export class VBLoRAConfig extends LayerConfig implements AdapterConfig {
  readonly peftType = "VBLORA";
  readonly r: number;
  readonly numVectors: number;
  readonly vectorLength: number;
  readonly topk: number;
  readonly vbloraDropout: number;
  readonly bias: "none" | "all" | "vblora_only";
  readonly fanInFanOut: boolean;
  readonly initVectorBankBound: number;
  readonly initLogitsStd: number;

  constructor(options: VBLoRAOptions = {}) {
    const read = new OptionReader("VBLoRAConfig", options, fields);
    super(read);
    this.r = read.integer("r", { min: 1 }) ?? 4;
    this.numVectors = read.integer("numVectors", { min: 1 }) ?? 256;
    this.vectorLength = read.integer("vectorLength", { min: 1 }) ?? 256;
    this.topk = read.integer("topk", { min: 1, max: this.numVectors }) ?? 2;
    this.vbloraDropout = read.rate("vbloraDropout");
    this.bias = read.oneOf("bias", ["none", "all", "vblora_only"], "none");
    this.fanInFanOut = read.flag("fanInFanOut", false);
    this.initVectorBankBound = read.number("initVectorBankBound", { min: 0 }) ?? 0.02;
    this.initLogitsStd = read.number("initLogitsStd", { min: 0 }) ?? 0.1;
    read.unsupported(["saveOnlyTopkWeights"]);
    read.done();
  }
}

function shared(c: VBLoRAConfig): ParameterSpec[] {
  const initial = { kind: "uniform", bound: c.initVectorBankBound } as const;
  return [{ key: "vblora_vector_bank", shape: [c.numVectors, c.vectorLength], initial }];
}

function parameters(c: VBLoRAConfig, { path, inDim, outDim }: LinearSite): ParameterSpec[] {
  const pieces = [inDim, outDim].map((dim) => dim / c.vectorLength) as [number, number];
  if (!pieces.every(Number.isInteger))
    throw new PeftError("adapter-config", {
      what: `vectorLength is ${c.vectorLength} at ${path}.`,
      why: `it divides a layer's widths, and these are ${inDim} and ${outDim}.`,
      fix: "give a length that divides the widths of all targets.",
    });
  const initial = { kind: "normal", std: c.initLogitsStd } as const;
  return [
    { key: "vblora_logits_A", shape: [c.r, pieces[0], c.numVectors], initial },
    { key: "vblora_logits_B", shape: [pieces[1], c.r, c.numVectors], initial },
  ];
}

type Parts = Pick<DeltaParts, "g" | "site" | "p" | "shared">;

/** Logits [.., vectors] -> mixtures of the `topk` vectors with the largest, [.., length]. Of equal ones, all count. */
function mixed({ g, shared }: Parts, logits: Tensor, { topk }: VBLoRAConfig): Tensor {
  let rest = g.detach(logits);
  for (let k = 1; k < topk; k++) rest = g.where(g.less(rest, g.amax(rest, -1, true)), rest, LOWEST);
  const isTop = g.not(g.less(g.detach(logits), g.amax(rest, -1, true)));
  return g.matmul(g.softmax(g.where(isTop, logits, LOWEST)), shared("vblora_vector_bank"));
}

/** Softmax makes zero of it. */
const LOWEST = -1e30;

/** A [r, in], B [out, r] */
function factors(parts: Parts, c: VBLoRAConfig): { a: Tensor; b: Tensor } {
  const { g, site, p } = parts;
  const a = g.reshape(mixed(parts, p("vblora_logits_A"), c), [c.r, site.inDim]);
  const pieces = g.transpose(mixed(parts, p("vblora_logits_B"), c), [0, 2, 1]); // [pieces, length, r]
  return { a, b: g.reshape(pieces, [site.outDim, c.r]) };
}

/** y + B A x */
function forward(a: Adapted<LinearSite>, x: Tensor, c: VBLoRAConfig): Tensor {
  const { g } = a;
  const low = factors(a, c);
  const change = g.linear(g.linear(a.dropout(x, c.vbloraDropout), low.a), low.b);
  return g.add(a.next(x), g.mul(change, perRow(g, a.scale, change)));
}

function merge(m: Merging<LinearSite>, c: VBLoRAConfig): { weight: Tensor } {
  const { g, site } = m;
  const { a, b } = factors(m, c);
  return { weight: g.add(m.weight, g.mul(upright(g, site, g.matmul(b, a)), m.scale)) };
}

/** Low-rank matrices mixed of vectors that all layers share. arXiv 2405.15179. Reference: peft/tuners/vblora/layer.py */
export const vblora: Method<VBLoRAConfig> = {
  peftType: "VBLORA",
  name: "vblora",
  fields,
  floats: ["vblora_dropout"],
  create: (options) => new VBLoRAConfig(options as VBLoRAOptions),
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    bias: (c) => c.bias,
    linear: { parameters, forward, merge },
    shared,
  },
};
