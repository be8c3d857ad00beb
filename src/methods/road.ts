import { lengthAt } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { option, words } from "../words.js";
import { checkDivides } from "./block_sizes.js";
import { configClass } from "./config.js";
import type { RoadOptions, RoadValues } from "./config_types.js";
import { perRow } from "./gate.js";
import { ONE, ZERO } from "./initial.js";
import type {
  Adapted,
  ConfigClass,
  Merging,
  Method,
  MethodTable,
  ParameterSpec,
  SiteMethod,
} from "./method.js";
import { saving, startsWithoutEffect, targetModules } from "./shared_options.js";
/** Angles and scales: one of each for a pair, one for each element, or two for each element. */
export type RoadVariant = "road_1" | "road_2" | "road_4";

const options: MethodTable = {
  ...saving,
  targetModules,
  variant: {
    kind: "text",
    choices: ["road_1", "road_2", "road_4"],
    byDefault: "road_1",
    means: "how many angles and scales: one of each for a pair of outputs, one for each output, or two",
  },
  groupSize: {
    kind: "whole",
    min: 2,
    byDefault: 64,
    means:
      "outputs are paired within groups of this even size, the first half with the second; it divides outDim",
  },
  initWeights: startsWithoutEffect,
};

export type { RoadOptions };
export type RoadConfig = RoadValues;
/**
 * Config of RoAd (arXiv 2409.00119). Reference: peft/tuners/road/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, RoadConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new RoadConfig({ variant: "road_1" }));
 * ```
 */
export const RoadConfig: ConfigClass<RoadValues, RoadOptions> = configClass("ROAD", "RoadConfig", {
  options,
  check: ({ groupSize }, fault) => {
    if (groupSize % 2 !== 0)
      fault(
        words`${option("groupSize")} is ${groupSize}.`,
        "a group's first half is paired with its second.",
        words`${option("groupSize", groupSize + 1)}, or another even number.`,
      );
  },
});

function parameters({ variant, groupSize, initWeights }: RoadConfig, site: LinearSite): ParameterSpec[] {
  const { outDim } = site;
  checkDivides(site, { name: "groupSize", count: groupSize, sizes: [outDim] });
  const shape = [{ road_1: outDim / 2, road_2: outDim, road_4: outDim * 2 }[variant]];
  return [
    { key: "road_theta", shape, initial: initWeights ? ZERO : { kind: "normal", std: 0.5 } },
    { key: "road_alpha", shape, initial: initWeights ? ONE : { kind: "normal", mean: 1, std: 0.5 } },
  ];
}

/**
 * What multiplies an output, and what its partner in the pair: alpha cos(theta) and alpha sin(theta),
 * [outDim].
 */
function factors(
  { g, p, site: { outDim } }: Pick<Adapted<LinearSite>, "g" | "p" | "site">,
  { variant, groupSize }: RoadConfig,
): { own: Tensor; other: Tensor } {
  const [theta, alpha] = [p("road_theta"), p("road_alpha")];
  if (variant === "road_4") {
    const cut = (x: Tensor, half: 0 | 1): Tensor => {
      const halves = g.reshape(x, [outDim / groupSize, 2, groupSize]);
      return g.reshape(g.slice(halves, 1, half, half + 1), [outDim]);
    };
    const own = g.mul(cut(alpha, 0), g.cos(cut(theta, 0)));
    return { own, other: g.mul(cut(alpha, 1), g.sin(cut(theta, 1))) };
  }
  const half = groupSize / 2;
  const spread = (x: Tensor): Tensor => {
    if (variant === "road_2") return x;
    const pairs = g.reshape(x, [outDim / groupSize, 1, half]);
    return g.reshape(g.expand(pairs, [outDim / groupSize, 2, half]), [outDim]);
  };
  const own = g.mul(alpha, g.cos(theta));
  return { own: spread(own), other: spread(g.mul(alpha, g.sin(theta))) };
}

/** Each output's partner, turned by a right angle: a group's halves (y1, y2) -> (-y2, y1). */
function quarterTurn(g: Graph, y: Tensor, groupSize: number): Tensor {
  const before = y.shape.slice(0, -1);
  const half = groupSize / 2;
  const halves = g.reshape(y, [...before, lengthAt(y.shape, -1) / groupSize, 2, half]);
  const [first, second] = g.split(halves, -2, [1, 1]);
  return g.reshape(g.concat([g.neg(second), first], -2), y.shape);
}

/** y' = y o alpha cos(theta) + turned(y) o alpha sin(theta), y = W x + b */
function forward(a: Adapted<LinearSite>, x: Tensor, c: RoadConfig): Tensor {
  const { g } = a;
  const { own, other } = factors(a, c);
  const y = a.next(x);
  const gate = perRow(g, a.gate, y);
  const kept = g.mul(y, g.add(g.mul(g.sub(own, 1), gate), 1));
  return g.add(kept, g.mul(quarterTurn(g, y, c.groupSize), g.mul(other, gate)));
}

/** R W and R b: what R does to an output, done to the columns of W and to b. */
function merge(m: Merging<LinearSite>, c: RoadConfig): { weight: Tensor; bias?: Tensor } {
  const { g, site, bias } = m;
  const { own, other } = factors(m, c);
  const turn = (y: Tensor): Tensor => g.add(g.mul(y, own), g.mul(quarterTurn(g, y, c.groupSize), other));
  const swap = (x: Tensor): Tensor => (site.transposed ? x : g.transpose(x, [1, 0]));
  const weight = swap(turn(swap(m.weight))); // [inDim, outDim] inside
  return bias === undefined ? { weight } : { weight, bias: turn(bias) };
}

const linear: SiteMethod<RoadConfig, LinearSite> = {
  parameters,
  forward,
  merge,
  structure: (c) => `${c.variant} ${c.groupSize}`,
};

/**
 * Turns and scales outputs in pairs. arXiv 2409.00119.
 * Reference: peft/tuners/road/layer.py
 */
export const road: Method<RoadConfig> = {
  name: "road",
  config: RoadConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    linear,
  },
};
