import { PeftError } from "../errors.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { option, words } from "../words.js";
import { configClass } from "./config.js";
import type { FourierFTOptions, FourierFTValues } from "./config_types.js";
import type { DeltaParts } from "./delta.js";
import { addsToWeight } from "./delta.js";
import { ZERO } from "./initial.js";
import type { ConfigClass, Method, MethodTable, ParameterSpec, SiteMethod } from "./method.js";
import { byPattern } from "./pattern.js";
import { bias, blocks, fanInFanOut, saving, seedOf, startsWithoutEffect, targets } from "./shared_options.js";
import { TorchRandom, writePlaces } from "./torch_random.js";

const options: MethodTable = {
  ...saving,
  ...targets,
  ...blocks,
  nFrequency: {
    kind: "whole",
    min: 1,
    byDefault: 1000,
    means: "how many frequencies of a layer's change are trained",
  },
  scaling: { kind: "number", byDefault: 150, float: true, also: ["alpha"], means: "factor of the change" },
  randomLocSeed: seedOf("by which frequencies are chosen", 777),
  nFrequencyPattern: {
    kind: "wholesByName",
    byDefault: {},
    means: "numbers of frequencies by layer name or pattern where they differ",
  },
  bias: bias("fourier_only"),
  fanInFanOut,
  initWeights: { ...startsWithoutEffect, byDefault: false },
};

export type { FourierFTOptions };
export type FourierFTConfig = FourierFTValues;
/**
 * Config of FourierFT (arXiv 2405.03003). Reference: peft/tuners/fourierft/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, FourierFTConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new FourierFTConfig({ nFrequency: 1000 }));
 * ```
 */
export const FourierFTConfig: ConfigClass<FourierFTValues, FourierFTOptions> = configClass(
  "FOURIERFT",
  "FourierFTConfig",
  {
    options,
  },
);

function parameters(c: FourierFTConfig, { path, inDim, outDim }: LinearSite): ParameterSpec[] {
  const count = byPattern(c, "nFrequencyPattern", path, "dotted") ?? c.nFrequency;
  const all = inDim * outDim;
  if (count > all)
    throw new PeftError("adapter-config", {
      what: words`${option("nFrequency")} is ${count} at ${path}.`,
      why: `a layer's weight [${outDim}, ${inDim}] has no more than ${all} frequencies.`,
      fix: words`${option("nFrequency", all)}, or less.`,
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
 * The real part of the inverse Fourier transform of a matrix that is zero but at n places (u, v), [out, in]:
 * of the sums of s cos(2 pi (u i / out + v j / in)) / (out in), by the cosine of a sum as two products of
 * [out, n] and [n, in].
 */
function delta({ g, site, p }: DeltaParts, c: FourierFTConfig): Tensor {
  const { inDim, outDim } = site;
  const spectrum = p("fourierft_spectrum");
  const [u, v] = g.split(g.cast(p("indices"), "i64"), 0, [1, 1]);
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

/**
 * A change of the weight with few frequencies. arXiv 2405.03003. Reference: peft/tuners/fourierft/layer.py
 */
export const fourierft: Method<FourierFTConfig> = {
  name: "fourierft",
  config: FourierFTConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    bias: (c) => c.bias,
    linear,
  },
};
