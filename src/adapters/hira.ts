import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { OptionReader } from "./checks.js";
import type { DeltaParts } from "./delta.js";
import { addsToWeight } from "./delta.js";
import { readStart } from "./init_weights.js";
import { kaiming, ZERO } from "./initial.js";
import type { LayerOptions } from "./layer_config.js";
import { LayerConfig, layerFields } from "./layer_config.js";
import type { AdapterConfig, Initial, Json, Method, SiteMethod } from "./method.js";

/** Options of HiRA. */
export interface HiraOptions extends LayerOptions {
  /** The rank: A is [r, in], B is [out, r]. Default 32. */
  r?: number | undefined;
  /** Rate of dropout on the adapter's input in training. Default 0. */
  hiraDropout?: number | undefined;
  /** Python's word for weights stored [in, out]; here it is known from the model, and only recorded. */
  fanInFanOut?: boolean | undefined;
  /** Start without effect (default; "gaussian": with a normal A), or at random. */
  initWeights?: boolean | "gaussian" | undefined;
}

const fields: Readonly<Record<string, Json>> = {
  ...layerFields("HIRA"),
  r: 32,
  hira_dropout: 0,
  fan_in_fan_out: false,
  init_weights: true,
  rank_pattern: {},
};

/**
 * Config of HiRA (openreview TwJrTz9cRS). Throws "adapter-config". Reference: peft/tuners/hira/config.py
 * Python has a rankPattern, too, but gives every layer the rank r all the same: it is refused here.
 */
export class HiraConfig extends LayerConfig implements AdapterConfig {
  readonly peftType = "HIRA";
  readonly r: number;
  readonly hiraDropout: number;
  readonly fanInFanOut: boolean;
  readonly initWeights: boolean | "gaussian";

  constructor(options: HiraOptions = {}) {
    const read = new OptionReader("HiraConfig", options, fields);
    super(read);
    this.r = read.integer("r", { min: 1 }) ?? 32;
    this.hiraDropout = read.rate("hiraDropout");
    this.fanInFanOut = read.flag("fanInFanOut", false);
    this.initWeights = readStart(read, ["gaussian"]);
    const ranks = read.patterns("rankPattern", "whole");
    if (Object.keys(ranks).length > 0) {
      read.fault(
        `rankPattern is ${JSON.stringify(ranks)}.`,
        "Python's HiRA reads it and gives every layer the rank r, so that it would be without effect.",
        { fix: "rankPattern: {}, or one adapter for each rank." },
      );
    }
    read.done();
  }
}

/** D = W o (B A) */
function delta({ g, p, weight }: DeltaParts): Tensor {
  return g.mul(weight(), g.matmul(p("hira_B"), p("hira_A")));
}

const added = addsToWeight<HiraConfig>(delta);

const linear: SiteMethod<HiraConfig, LinearSite> = {
  parameters: (c, { inDim, outDim }) => {
    const { r, initWeights: init } = c;
    const normal = (std: number): Initial => ({ kind: "normal", std });
    const a = init === true ? kaiming(inDim) : normal(init === false ? 1 : 1 / r);
    return [
      { key: "hira_A", shape: [r, inDim], initial: a, free: [0] },
      { key: "hira_B", shape: [outDim, r], initial: init === false ? normal(1) : ZERO, free: [1] },
    ];
  },
  ...added,
  // The base sees the whole input.
  forward: (a, x, c) => added.forward({ ...a, next: () => a.next(x) }, a.dropout(x, c.hiraDropout), c),
  structure: (c) => `dropout ${c.hiraDropout}`,
};

/**
 * The base's weight times a low-rank matrix, element by element. openreview TwJrTz9cRS.
 * Python adapts embeddings as well. Reference: peft/tuners/hira/layer.py
 */
export const hira: Method<HiraConfig> = {
  peftType: "HIRA",
  name: "hira",
  fields,
  floats: ["hira_dropout"],
  create: (options) => new HiraConfig(options as HiraOptions),
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    linear,
  },
};
