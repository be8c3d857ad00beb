import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { at } from "../present.js";
import { configClass } from "./config.js";
import type { UniLoraOptions, UniLoraValues } from "./config_types.js";
import { linearsOf, withDelta } from "./delta.js";
import { withChange } from "./gate.js";
import type {
  Adapted,
  ConfigClass,
  Initial,
  Merging,
  Method,
  MethodTable,
  ParameterSpec,
  Place,
  Site,
  SiteMethod,
} from "./method.js";
import { NumpyRandom } from "./numpy_random.js";
import {
  bias,
  blocks,
  dropout,
  fanInFanOut,
  rank,
  saving,
  seedOf,
  startsWithoutEffect,
  targetModules,
} from "./shared_options.js";

const options: MethodTable = {
  ...saving,
  targetModules,
  ...blocks,
  r: rank(4, "the rank: A is [r, in], B is [out, r]"),
  thetaDLength: {
    kind: "whole",
    python: "theta_d_length",
    min: 1,
    max: 2 ** 24,
    byDefault: 256,
    means: "how many numbers are trained, of which all of A and B are made",
  },
  projSeed: seedOf("by which A's and B's numbers are chosen of the trained ones", 42),
  initThetaDBound: {
    kind: "number",
    python: "init_theta_d_bound",
    min: 0,
    byDefault: 0.02,
    means: "the trained numbers start uniform within this bound",
  },
  initWeights: { ...startsWithoutEffect, means: "start within the bound; off: normal" },
  uniloraDropout: dropout,
  fanInFanOut,
  bias: bias("unilora_only"),
  saveIndices: {
    kind: "flag",
    byDefault: false,
    means: "save which numbers A and B are made of; off: choose them again from the seed",
  },
};

export type { UniLoraOptions };
export type UniLoraConfig = UniLoraValues;
/**
 * Config of Uni-LoRA (arXiv 2506.00799). Reference: peft/tuners/unilora/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, UniLoraConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new UniLoraConfig({ r: 4, thetaDLength: 4096 }));
 * ```
 */
export const UniLoraConfig: ConfigClass<UniLoraValues, UniLoraOptions> = configClass(
  "UNILORA",
  "UniLoraConfig",
  {
    options,
  },
);

/** Which trained number each number of A and B is, dealt to the layers in their order, A before B. */
interface Dealt {
  readonly indices: Float64Array;
  /** 1 / sqrt(n) of a trained number that n numbers are made of. */
  readonly scales: Float64Array;
}

/** How many numbers A and B of these layers have. */
function numbersOf(c: UniLoraConfig, sites: readonly Site[]): number {
  return linearsOf(sites).reduce((sum, { inDim, outDim }) => sum + c.r * (inDim + outDim), 0);
}

const dealt: WeakMap<readonly Site[], Dealt> = new WeakMap();

function deal(c: UniLoraConfig, all: readonly Site[]): Dealt {
  const known = dealt.get(all);
  if (known !== undefined) return known;
  const count = numbersOf(c, all);
  const each = Math.floor(count / c.thetaDLength);
  const random = new NumpyRandom(c.projSeed);
  const indices = new Float64Array(count);
  for (let i = 0; i < each * c.thetaDLength; i++) indices[i] = Math.floor(i / each);
  indices.set(random.choice(c.thetaDLength, count % c.thetaDLength), each * c.thetaDLength);
  random.shuffle(indices);
  const scales = new Float64Array(c.thetaDLength);
  for (const index of indices) scales[index]! += 1;
  const made = { indices, scales: scales.map((n) => (n === 0 ? 0 : 1 / Math.sqrt(n))) };
  dealt.set(all, made);
  return made;
}

function parameters(c: UniLoraConfig, site: LinearSite, all: readonly Site[] = [site]): ParameterSpec[] {
  const { r } = c;
  const before = numbersOf(c, all.slice(0, all.indexOf(site)));
  const from = (start: number, value: (d: Dealt, index: number) => number): Initial => ({
    kind: "made",
    make: (data) => {
      const whole = deal(c, all);
      for (let i = 0; i < data.length; i++) data[i] = value(whole, at(whole.indices, start + i));
    },
  });
  const both = (letter: "A" | "B", shape: readonly number[], start: number): ParameterSpec[] => [
    {
      key: `unilora_indices_${letter}`,
      shape,
      initial: from(start, (_, index) => index),
      frozen: c.saveIndices ? "saved i64" : "derived",
    },
    {
      key: `unilora_scales_${letter}`,
      shape,
      initial: from(start, ({ scales }, index) => at(scales, index)),
      frozen: c.saveIndices ? "saved" : "derived",
    },
  ];
  return [...both("A", [r, site.inDim], before), ...both("B", [site.outDim, r], before + r * site.inDim)];
}

/** A [r, in] and B [out, r]: trained numbers at their indices, times their scales. */
function factor({ g, p, shared }: Pick<Place, "g" | "p" | "shared">, letter: "A" | "B"): Tensor {
  const indices = g.cast(p(`unilora_indices_${letter}`), "i64");
  return g.mul(g.gather(shared("unilora_theta_d"), indices), p(`unilora_scales_${letter}`));
}

/** y + B A x */
function forward(a: Adapted<LinearSite>, x: Tensor, c: UniLoraConfig): Tensor {
  const low = a.g.linear(a.dropout(x, c.uniloraDropout), factor(a, "A"));
  return withChange(a, x, a.g.linear(low, factor(a, "B")));
}

function merge(m: Merging<LinearSite>): { weight: Tensor } {
  return withDelta(m, m.g.matmul(factor(m, "B"), factor(m, "A")));
}

const linear: SiteMethod<UniLoraConfig, LinearSite> = {
  parameters,
  forward,
  merge,
  structure: (c) => `dropout ${c.uniloraDropout}`,
};

/**
 * LoRA whose matrices of all layers are made of one short vector. arXiv 2506.00799. Reference:
 * peft/tuners/unilora/layer.py
 */
export const unilora: Method<UniLoraConfig> = {
  name: "unilora",
  config: UniLoraConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    bias: (c) => c.bias,
    linear,
    shared: (c) => [
      {
        key: "unilora_theta_d",
        shape: [c.thetaDLength],
        initial: c.initWeights ? { kind: "uniform", bound: c.initThetaDBound } : { kind: "normal", std: 1 },
      },
    ],
  },
};
