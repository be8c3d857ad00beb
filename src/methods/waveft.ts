import { internal, PeftError } from "../errors.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { at } from "../present.js";
import { option, words } from "../words.js";
import { configClass } from "./config.js";
import type { WaveFTOptions, WaveFTValues } from "./config_types.js";
import type { DeltaParts } from "./delta.js";
import { addsToWeight, linearsOf, scattered } from "./delta.js";
import { ZERO } from "./initial.js";
import type { ConfigClass, Method, MethodTable, ParameterSpec, Site, SiteMethod } from "./method.js";
import { byPattern } from "./pattern.js";
import { roundToEven } from "./round.js";
import { bias, blocks, fanInFanOut, saving, seedOf, startsWithoutEffect, targets } from "./shared_options.js";
import { TorchRandom, writePlaces } from "./torch_random.js";
import { rebuilt } from "./wavelet.js";
import { waveletFilters } from "./wavelet_filters.js";

const options: MethodTable = {
  ...saving,
  ...targets,
  ...blocks,
  nFrequency: {
    kind: "whole",
    min: 1,
    byDefault: 2592,
    means: "how many wavelet coefficients of a layer's change are trained",
  },
  scaling: { kind: "number", byDefault: 25, float: true, also: ["alpha"], means: "factor of the change" },
  waveletFamily: {
    kind: "text",
    choices: Object.keys(waveletFilters),
    byDefault: "db1",
    means: "the wavelets: Daubechies', the least asymmetric ones or coiflets, those that work in Python",
  },
  useIdwt: {
    kind: "flag",
    byDefault: true,
    means: "numbers are wavelet coefficients; off: they are the change's own numbers",
  },
  randomLocSeed: seedOf("by which coefficients are chosen", 777),
  nFrequencyPattern: {
    kind: "wholesByName",
    byDefault: {},
    means: "numbers of coefficients by layer name or pattern where they differ",
  },
  proportionalParameters: {
    kind: "flag",
    byDefault: false,
    means: "nFrequency is a mean: layers have as many as their sizes ask for",
  },
  bias: bias("waveft_only"),
  fanInFanOut,
  initWeights: startsWithoutEffect,
};

export type { WaveFTOptions };
export type WaveFTConfig = WaveFTValues;
/**
 * Config of WaveFT (arXiv 2505.12532). Reference: peft/tuners/waveft/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, WaveFTConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new WaveFTConfig({ nFrequency: 2592 }));
 * ```
 */
export const WaveFTConfig: ConfigClass<WaveFTValues, WaveFTOptions> = configClass("WAVEFT", "WaveFTConfig", {
  options,
});

function countAt(c: WaveFTConfig, site: LinearSite, all: readonly Site[]): number {
  const size = ({ inDim, outDim }: LinearSite): number => inDim * outDim;
  if (c.proportionalParameters) {
    const linears = linearsOf(all);
    const share = size(site) / linears.reduce((sum, other) => sum + size(other), 0);
    return Math.max(1, roundToEven(share * (c.nFrequency * linears.length)));
  }
  const count = byPattern(c, "nFrequencyPattern", site.path) ?? c.nFrequency;
  if (count > size(site))
    throw new PeftError("adapter-config", {
      what: words`${option("nFrequency")} is ${count} at ${site.path}.`,
      why: `a layer's weight [${site.outDim}, ${site.inDim}] has no more than ${size(site)} coefficients.`,
      fix: words`${option("nFrequency", size(site))}, or less.`,
    });
  return count;
}

const filterOf = (c: WaveFTConfig): readonly number[] =>
  waveletFilters[c.waveletFamily] ?? internal(`no wavelet ${c.waveletFamily}`);

/**
 * Rows and columns of the matrix of coefficients, both even: a filter of n numbers takes n - 2 of them off.
 */
function sizeOf(c: WaveFTConfig, { inDim, outDim }: LinearSite): readonly [number, number] {
  const grown = (length: number): number => 2 * Math.ceil((length + filterOf(c).length - 2) / 2);
  return [grown(outDim), grown(inDim)];
}

/**
 * Moves a place [row, column] of the weight to that of its coefficient, where rows and columns of each have
 * the low half first. Python has the quarters that are high along one axis the other way round.
 */
function coefficientAt(
  [row, column]: readonly [number, number],
  padded: readonly [number, number],
  { inDim, outDim }: LinearSite,
): readonly [number, number] {
  const [rows, columns] = [padded[0] / 2, padded[1] / 2];
  const y = row + Math.floor((padded[0] - outDim) / 2);
  const x = column + Math.floor((padded[1] - inDim) / 2);
  return [(y % rows) + (x >= columns ? rows : 0), (x % columns) + (y >= rows ? columns : 0)];
}

function parameters(c: WaveFTConfig, site: LinearSite, all: readonly Site[] = [site]): ParameterSpec[] {
  const { inDim, outDim } = site;
  const count = countAt(c, site, all);
  const make = (data: Float32Array): void => {
    writePlaces(data, new TorchRandom(c.randomLocSeed).permutation(inDim * outDim, count), inDim);
    if (!c.useIdwt) return;
    const size = sizeOf(c, site);
    for (let i = 0; i < count; i++) {
      const place = coefficientAt([at(data, i), at(data, count + i)], size, site);
      [data[i], data[count + i]] = place;
    }
  };
  return [
    {
      key: "waveft_spectrum",
      shape: [count],
      initial: c.initWeights ? ZERO : { kind: "normal", std: 0.01 },
    },
    { key: "waveft_indices", shape: [2, count], initial: { kind: "made", make }, frozen: "derived" },
  ];
}

/** The inverse transform of a matrix that is zero but at n places, [out, in]. */
function delta({ g, site, p }: DeltaParts, c: WaveFTConfig): Tensor {
  const { inDim, outDim } = site;
  const [rows, columns] = c.useIdwt ? sizeOf(c, site) : [outDim, inDim];
  const [row, column] = g.split(g.cast(p("waveft_indices"), "i64"), 0, [1, 1]);
  const places = g.add(g.mul(row, g.scalar(columns, "i64")), column);
  const spectrum = scattered(g, p("waveft_spectrum"), places, [rows, columns]);
  if (!c.useIdwt) return spectrum;
  const filter = filterOf(c);
  const tall = rebuilt(g, spectrum, filter, rows / 2, outDim); // [out, columns]
  const wide = rebuilt(g, g.transpose(tall, [1, 0]), filter, columns / 2, inDim);
  return g.transpose(wide, [1, 0]);
}

const linear: SiteMethod<WaveFTConfig, LinearSite> = {
  parameters,
  ...addsToWeight(delta),
  scale: (c) => c.scaling,
  structure: (c) => (c.useIdwt ? c.waveletFamily : "direct"),
};

/** A change of the weight with few wavelets. arXiv 2505.12532. Reference: peft/tuners/waveft/layer.py */
export const waveft: Method<WaveFTConfig> = {
  name: "waveft",
  config: WaveFTConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    bias: (c) => c.bias,
    linear,
  },
};
