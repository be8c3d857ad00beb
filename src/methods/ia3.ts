import { PeftError } from "../errors.js";
import type { ConvSite, LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { option, words } from "../words.js";
import { configClass, withFields } from "./config.js";
import type { IA3Options, IA3Values } from "./config_types.js";
import { perRow } from "./gate.js";
import type {
  Adapted,
  ConfigClass,
  LayerLists,
  Merging,
  Method,
  MethodTable,
  SayFault,
  SiteMethod,
} from "./method.js";
import { configPattern } from "./pattern.js";
import { fanInFanOut, saving, targets } from "./shared_options.js";

const options: MethodTable = {
  ...saving,
  ...targets,
  feedforwardModules: {
    kind: "targets",
    form: "NAME,NAME|REGEX",
    otherwise: "the model's",
    means:
      "targets that are scaled at their input instead of their output: by endings of names among targetModules, or a pattern",
  },
  fanInFanOut,
  initIa3Weights: { kind: "flag", byDefault: true, means: "start at ones, without effect; off: at random" },
};

export type { IA3Options };
export type IA3Config = IA3Values;
/**
 * Config of IA3 (arXiv 2205.05638). Reference: peft/tuners/ia3/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, IA3Config } from "peft.js";
 *
 * const adapted = getPeftModel(base, new IA3Config({ taskType: "SEQ_2_SEQ_LM" }));
 * ```
 */
export const IA3Config: ConfigClass<IA3Values, IA3Options> = configClass("IA3", "IA3Config", {
  options,
  check: checkFeedforward,
});

function checkFeedforward({ targetModules, feedforwardModules }: IA3Config, fault: SayFault): void {
  if (typeof feedforwardModules !== "object" || typeof targetModules !== "object") return;
  const strays = feedforwardModules.filter((name) => !targetModules.includes(name));
  if (strays.length === 0) return;
  fault(
    words`${option("feedforwardModules")} names ${JSON.stringify(strays)}, not among ${JSON.stringify(targetModules)}.`,
    "feed-forward modules are those of the targets that are scaled at their input.",
    words`${option("targetModules", [...targetModules, ...strays])}.`,
  );
}

/** Endings match without a dot, as Python has it: "wo" also means "two". */
function isFeedforward({ feedforwardModules: names }: IA3Config, path: string): boolean {
  if (typeof names === "string")
    return configPattern(names, "feedforwardModules").fullMatch(path) !== undefined;
  return (names ?? []).some((name) => path.endsWith(name));
}

/** Python reads the model's own lists where the config names none, one by one. */
function resolve(c: IA3Config, { scaled }: LayerLists): IA3Config {
  const feedforwardModules = c.feedforwardModules ?? scaled?.feedforward;
  if (feedforwardModules === undefined) {
    throw new PeftError("adapter-config", {
      what: words`${option("feedforwardModules")} is not given.`,
      why: "IA3 has no default for this kind of model.",
      fix: words`name the feed-forward layers among the targets, or none: ${option("feedforwardModules", [])}.`,
    });
  }
  return withFields(c, { targetModules: c.targetModules ?? scaled?.targets, feedforwardModules });
}

/** 1 + gate (l - 1): l where the adapter is on, 1 where it is off; l as a vector over x's last axis. */
function factor({ g, p, gate }: Adapted<LinearSite>, x: Tensor, dim: number): Tensor {
  const l = g.reshape(p("ia3_l"), [dim]);
  return g.add(g.mul(g.sub(l, 1), perRow(g, gate, x)), 1);
}

/** y = l o (W x + b), or W (l o x) + b in feed-forward layers. */
function forward(a: Adapted<LinearSite>, x: Tensor, c: IA3Config): Tensor {
  const { g, site } = a;
  if (isFeedforward(c, site.path)) return a.next(g.mul(x, factor(a, x, site.inDim)));
  const y = a.next(x);
  return g.mul(y, factor(a, y, site.outDim));
}

function merge(
  { g, site, p, weight, bias }: Merging<LinearSite>,
  c: IA3Config,
): { weight: Tensor; bias?: Tensor } {
  const l = p("ia3_l"); // [1, in] or [out, 1]
  const scaled = g.mul(weight, site.transposed ? g.transpose(l, [1, 0]) : l);
  if (bias === undefined || isFeedforward(c, site.path)) return { weight: scaled };
  return { weight: scaled, bias: g.mul(bias, g.reshape(l, [site.outDim])) };
}

const linear: SiteMethod<IA3Config, LinearSite> = {
  parameters: (c, site) => [
    {
      key: "ia3_l",
      shape: isFeedforward(c, site.path) ? [1, site.inDim] : [site.outDim, 1],
      initial: c.initIa3Weights ? { kind: "constant", value: 1 } : { kind: "normal", std: 1 },
    },
  ],
  forward,
  merge,
  structure: (c, site) => (isFeedforward(c, site.path) ? "input" : "output"),
};

/** The same by channels: l is [1, channels, 1, ...]. */
const conv: SiteMethod<IA3Config, ConvSite> = {
  parameters: (c, { path, inChannels, outChannels, kernel }) => [
    {
      key: "ia3_l",
      shape: [1, isFeedforward(c, path) ? inChannels : outChannels, ...kernel.map(() => 1)],
      initial: c.initIa3Weights ? { kind: "constant", value: 1 } : { kind: "normal", std: 1 },
    },
  ],
  forward: (a, x, c) => {
    const { g, p, gate } = a;
    const l = (x: Tensor): Tensor => g.add(g.mul(g.sub(p("ia3_l"), 1), perRow(g, gate, x)), 1);
    if (isFeedforward(c, a.site.path)) return a.next(g.mul(x, l(x)));
    const y = a.next(x);
    return g.mul(y, l(y));
  },
  merge: ({ g, p, site, weight, bias }, c) => {
    const l = p("ia3_l");
    if (isFeedforward(c, site.path)) return { weight: g.mul(weight, l) };
    const ones = site.kernel.map(() => 1);
    const scaled = g.mul(weight, g.reshape(l, [site.outChannels, 1, ...ones]));
    return { weight: scaled, ...(bias && { bias: g.mul(bias, g.reshape(l, [site.outChannels])) }) };
  },
  merges: (c, site) => site.groups === 1 || !isFeedforward(c, site.path),
  structure: (c, site) => (isFeedforward(c, site.path) ? "input" : "output"),
};

/** Scales activations by a learnt vector. arXiv 2205.05638. Reference: peft/tuners/ia3/layer.py */
export const ia3: Method<IA3Config> = {
  name: "ia3",
  config: IA3Config,
  learningRate: { value: 5e-3, from: "PEFT's comparison of methods" },
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.scaled?.targets,
    resolve,
    linear,
    conv,
  },
};
