import { lengthAt } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Random } from "../random.js";
import { normal } from "../random.js";
import type { ParameterSpec, Place } from "./method.js";
import { type NestedTable, numberIn } from "./nested.js";

/** VeLoRA (arXiv 2405.17991): A's gradient is made of the input's projections on one vector. */
export const veloraTable: NestedTable = {
  num_groups: { kind: "whole", min: 1, byDefault: 64, means: "into how many parts the input is cut" },
  scale: { kind: "number", above: 0, byDefault: 1, means: "factor of what is rebuilt of the input" },
  init_type: {
    kind: "text",
    choices: ["batch_average", "random"],
    byDefault: "batch_average",
    means: "the vector: the mean of a pass's parts, or random",
  },
};

type Given = Readonly<Record<string, unknown>> | undefined;

const KEY = "lora_velora_embed";

const isRandom = (given: Given): boolean => given?.["init_type"] === "random";
const partOf = (given: Given, inDim: number): number =>
  Math.ceil(inDim / numberIn(given, veloraTable, "num_groups"));

export function veloraParameters(given: Given, { inDim }: LinearSite): ParameterSpec[] {
  if (given === undefined) return [];
  const make = (data: Float32Array, random: Random): void => {
    for (let i = 0; i < data.length; i++) data[i] = normal(random);
    const length = Math.hypot(...data);
    for (let i = 0; i < data.length; i++) data[i] = (data[i] ?? 0) / length;
  };
  const initial = isRandom(given)
    ? ({ kind: "made", make } as const)
    : ({ kind: "constant", value: 0 } as const);
  return [{ key: KEY, shape: [partOf(given, inDim)], initial, frozen: "saved" }];
}

/**
 * A x, where A's gradient, in training, sees scale (x_part . v) v in place of each part of x. Reference:
 * peft/tuners/lora/velora.py
 */
export function compressed(
  { g, p, isTraining }: Pick<Place, "g" | "p" | "isTraining">,
  x: Tensor,
  a: Tensor,
  given: Given,
): Tensor {
  if (given === undefined || !isTraining) return g.linear(x, a);
  const inDim = lengthAt(x.shape, -1);
  const [part, groups] = [partOf(given, inDim), numberIn(given, veloraTable, "num_groups")];
  const padded = g.pad(g.detach(x), x.shape.length - 1, 0, part * groups - inDim);
  const parts = g.reshape(padded, [...x.shape.slice(0, -1), groups, part]);
  const v = isRandom(given) ? p(KEY) : meanPart(g, parts);
  const rebuilt = g.reshape(g.mul(g.sum(g.mul(parts, v), -1, true), v), padded.shape);
  const seen = g.mul(g.slice(rebuilt, -1, 0, inDim), numberIn(given, veloraTable, "scale"));
  const own = g.linear(g.detach(seen), a);
  return g.add(g.linear(x, g.detach(a)), g.sub(own, g.detach(own)));
}

/** The mean of all parts, of length 1. */
function meanPart(g: Graph, parts: Tensor): Tensor {
  const mean = g.mean(
    parts,
    parts.shape.slice(0, -1).map((_, i) => i),
  );
  return g.div(mean, g.max(g.sqrt(g.sum(g.square(mean))), 1e-30));
}
