import { PeftError } from "../errors.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { OptionReader } from "./checks.js";
import type { DeltaParts } from "./delta.js";
import { addsToWeight } from "./delta.js";
import { ZERO } from "./initial.js";
import type { LayerOptions } from "./layer_config.js";
import { LayerConfig, layerFields } from "./layer_config.js";
import type { AdapterConfig, Json, Method, ParameterSpec, SiteMethod } from "./method.js";
import { byPattern } from "./pattern.js";
import { TorchRandom, writePlaces } from "./torch_random.js";

/** Options of FourierFT. */
export interface FourierFTOptions extends LayerOptions {
  /** How many frequencies of a layer's change are trained. Default 1000. */
  nFrequency?: number | undefined;
  /** Factor of the change. Default 150. */
  scaling?: number | undefined;
  /** Seed by which frequencies are chosen. Default 777. */
  randomLocSeed?: number | undefined;
  /** Numbers of frequencies by layer name or pattern where they differ. */
  nFrequencyPattern?: Readonly<Record<string, number>> | undefined;
  /** Biases of the base that train too. Default "none". */
  bias?: "none" | "all" | "fourier_only" | undefined;
  /** Python's word for weights stored [in, out]; here it is known from the model, and only recorded. */
  fanInFanOut?: boolean | undefined;
  /** Start without effect, or at random (default). */
  initWeights?: boolean | undefined;
}

const fields: Readonly<Record<string, Json>> = {
  ...layerFields("FOURIERFT"),
  n_frequency: 1000,
  scaling: 150,
  random_loc_seed: 777,
  fan_in_fan_out: false,
  bias: "none",
  n_frequency_pattern: {},
  init_weights: false,
};

/** Config of FourierFT (arXiv 2405.03003). Throws "adapter-config". Reference: peft/tuners/fourierft/config.py */
export class FourierFTConfig extends LayerConfig implements AdapterConfig {
  readonly peftType = "FOURIERFT";
  readonly nFrequency: number;
  readonly scaling: number;
  readonly randomLocSeed: number;
  readonly nFrequencyPattern: Readonly<Record<string, number>>;
  readonly bias: "none" | "all" | "fourier_only";
  readonly fanInFanOut: boolean;
  readonly initWeights: boolean;

  constructor(options: FourierFTOptions = {}) {
    const read = new OptionReader("FourierFTConfig", options, fields);
    super(read);
    this.nFrequency = read.integer("nFrequency", { min: 1 }) ?? 1000;
    this.scaling = read.number("scaling") ?? 150;
    this.randomLocSeed = read.integer("randomLocSeed", { min: 0, max: 2 ** 32 - 1 }) ?? 777;
    this.nFrequencyPattern = read.patterns("nFrequencyPattern", "whole");
    this.bias = read.oneOf("bias", ["none", "all", "fourier_only"], "none");
    this.fanInFanOut = read.flag("fanInFanOut", false);
    this.initWeights = read.flag("initWeights", false);
    read.done();
  }
}

function parameters(c: FourierFTConfig, { path, inDim, outDim }: LinearSite): ParameterSpec[] {
  const count = byPattern(c.nFrequencyPattern, path, "dotted") ?? c.nFrequency;
  const all = inDim * outDim;
  if (count > all)
    throw new PeftError("adapter-config", {
      what: `nFrequency is ${count} at ${path}.`,
      why: `a layer's weight [${outDim}, ${inDim}] has no more than ${all} frequencies.`,
      fix: `nFrequency: ${all}, or less.`,
    });
  const places = (data: Float32Array): void => {
    writePlaces(data, new TorchRandom(c.randomLocSeed).permutation(all, count), inDim);
  };
  return [
    {
      key: "fourierft_spectrum",
      shape: [count],
      initial: c.initWeights ? ZERO : { kind: "normal", std: 1 },
    },
    { key: "indices", shape: [2, count], initial: { kind: "made", make: places }, frozen: "derived" },
  ];
}

/**
 * The real part of the inverse Fourier transform of a matrix that is zero but at n places (u, v), [out, in]: of the sums of
 * s cos(2 pi (u i / out + v j / in)) / (out in), by the cosine of a sum as two products of [out, n] and [n, in].
 */
function delta({ g, site, p }: DeltaParts, c: FourierFTConfig): Tensor {
  const { inDim, outDim } = site;
  const spectrum = p("fourierft_spectrum");
  const [u, v] = g.split(g.cast(p("indices"), "i64"), 0, [1, 1]) as [Tensor, Tensor];
  const rows = waves(g, u, outDim);
  const columns = waves(g, v, inDim);
  const scaled = g.mul(spectrum, c.scaling / (inDim * outDim));
  const part = (wave: "cos" | "sin"): Tensor => g.linear(g.mul(rows[wave], scaled), columns[wave]);
  return g.sub(part("cos"), part("sin"));
}

/** Frequencies [1, n] of `length` points -> [length, n] */
function waves(g: DeltaParts["g"], frequencies: Tensor, length: number): { cos: Tensor; sin: Tensor } {
  const at = g.mul(g.reshape(g.iota(length), [length, 1]), frequencies);
  const size = g.scalar(length, "i64");
  const turned = g.sub(at, g.mul(g.div(at, size), size)); // whole turns left out while numbers are whole
  const angle = g.mul(g.cast(turned, "f32"), (2 * Math.PI) / length);
  return { cos: g.cos(angle), sin: g.sin(angle) };
}

const linear: SiteMethod<FourierFTConfig, LinearSite> = {
  parameters,
  ...addsToWeight(delta),
  structure: (c) => `scaling ${c.scaling}`,
};

/** A change of the weight with few frequencies. arXiv 2405.03003. Reference: peft/tuners/fourierft/layer.py */
export const fourierft: Method<FourierFTConfig> = {
  peftType: "FOURIERFT",
  name: "fourierft",
  fields,
  floats: ["scaling"],
  create: (options) => new FourierFTConfig(options as FourierFTOptions),
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    bias: (c) => c.bias,
    linear,
  },
};
