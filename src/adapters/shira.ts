import { PeftError } from "../errors.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { OptionReader } from "./checks.js";
import type { DeltaParts } from "./delta.js";
import { addsToWeight } from "./delta.js";
import { ZERO } from "./initial.js";
import { TargetConfig } from "./layer_config.js";
import type { AdapterConfig, Json, Method, ParameterSpec, SiteMethod } from "./method.js";
import type { CommonOptions } from "./shared_options.js";
import { commonFields } from "./shared_options.js";
import { TorchRandom, writePlaces } from "./torch_random.js";

/** Options of SHiRA. */
export interface ShiraOptions extends CommonOptions {
  /** r (in + out) numbers of each weight are trained, as many as LoRA of this rank has. Default 32. */
  r?: number | undefined;
  /** How they are chosen; Python's own functions cannot be carried over. Default "random". */
  maskType?: "random" | undefined;
  /** Seed by which they are chosen. Default: another one each time, as in Python; the places are saved. */
  randomSeed?: number | undefined;
  /** A regular expression (full match), names or dotted suffixes, or "all-linear"; left out: the model's default. */
  targetModules?: string | readonly string[] | undefined;
  /** Python's word for weights stored [in, out]; here it is known from the model, and only recorded. */
  fanInFanOut?: boolean | undefined;
  /** Start without effect (default), or at random. */
  initWeights?: boolean | undefined;
}

const fields: Readonly<Record<string, Json>> = {
  ...commonFields("SHIRA"),
  r: 32,
  mask_type: "random",
  random_seed: null,
  target_modules: null,
  fan_in_fan_out: false,
  init_weights: true,
};

/** Config of SHiRA (arXiv 2406.13175). Throws "adapter-config". Reference: peft/tuners/shira/config.py */
export class ShiraConfig extends TargetConfig implements AdapterConfig {
  readonly peftType = "SHIRA";
  readonly r: number;
  readonly maskType: "random";
  readonly randomSeed: number | undefined;
  readonly fanInFanOut: boolean;
  readonly initWeights: boolean;

  constructor(options: ShiraOptions = {}) {
    const read = new OptionReader("ShiraConfig", options, fields);
    super(read);
    this.r = read.integer("r", { min: 1 }) ?? 32;
    this.maskType = read.oneOf("maskType", ["random"], "random");
    this.randomSeed = read.integer("randomSeed", { min: 0, max: 2 ** 32 - 1 });
    this.fanInFanOut = read.flag("fanInFanOut", false);
    this.initWeights = read.flag("initWeights", true);
    read.done();
  }
}

function parameters(c: ShiraConfig, { path, inDim, outDim }: LinearSite): ParameterSpec[] {
  const count = c.r * (inDim + outDim);
  const all = inDim * outDim;
  if (count > all)
    throw new PeftError("adapter-config", {
      what: `r is ${c.r} at ${path}.`,
      why: `${count} numbers would be trained of a weight [${outDim}, ${inDim}] that has ${all}.`,
      fix: `r: ${Math.floor(all / (inDim + outDim))}, or less.`,
    });
  const places = (data: Float32Array): void => {
    const seed = c.randomSeed ?? crypto.getRandomValues(new Uint32Array(1))[0]!;
    writePlaces(data, new TorchRandom(seed).permutation(all, count).sort(), inDim);
  };
  return [
    { key: "shira_weight", shape: [count], initial: c.initWeights ? ZERO : { kind: "normal", std: 1 } },
    { key: "shira_indices", shape: [2, count], initial: { kind: "made", make: places }, frozen: "saved i32" },
  ];
}

/** The trained numbers at their places, [out, in]. */
function delta({ g, site: { inDim, outDim }, p }: DeltaParts): Tensor {
  const [row, column] = g.split(g.cast(p("shira_indices"), "i64"), 0, [1, 1]) as [Tensor, Tensor];
  const at = g.add(g.mul(row, g.scalar(inDim, "i64")), column);
  const flat = g.scatterLast(g.unsqueeze(p("shira_weight"), 0), at, inDim * outDim);
  return g.reshape(flat, [outDim, inDim]);
}

const linear: SiteMethod<ShiraConfig, LinearSite> = {
  parameters,
  ...addsToWeight(delta),
  structure: () => "",
};

/** Some numbers of the weight, far apart. arXiv 2406.13175. Reference: peft/tuners/shira/layer.py */
export const shira: Method<ShiraConfig> = {
  peftType: "SHIRA",
  name: "shira",
  fields,
  floats: [],
  create: (options) => new ShiraConfig(options as ShiraOptions),
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    linear,
  },
};
