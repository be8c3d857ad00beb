import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import type { Random } from "../random.js";
import { uniform } from "../random.js";
import type { ParameterSpec, Place } from "./method.js";
import { type NestedTable, numberIn } from "./nested.js";

/** MonteCLoRA (arXiv 2411.04358): in training A has noise whose spread is learnt. */
export const montecloraTable: NestedTable = {
  num_samples: { kind: "whole", min: 1, byDefault: 8, means: "how many draws of noise are averaged" },
  sample_scaler: { kind: "number", min: 0, byDefault: 1e-4, means: "factor of the noise" },
  kl_loss_weight: { kind: "number", min: 0, byDefault: 1e-5, means: "of a loss that is left to the caller" },
  dirichlet_prior: { kind: "number", above: 0, byDefault: 1, means: "of that loss" },
  use_entropy: { kind: "flag", byDefault: true, means: "of that loss" },
  buffer_size: {
    kind: "whole",
    min: 1,
    byDefault: 10,
    means: "of Python's draws; here each pass draws anew",
  },
};

type Given = Readonly<Record<string, unknown>> | undefined;

const KEY = "lora_monteclora_sampler";

/** The sampler's tensors; the frozen ones are Python's record of its last draws. */
export function noiseParameters(given: Given, r: number): ParameterSpec[] {
  if (given === undefined) return [];
  const n = numberIn(given, montecloraTable, "num_samples");
  const drawn = (data: Float32Array, random: Random): void => {
    for (let i = 0; i < data.length; i++) data[i] = uniform(random);
  };
  const identity = (data: Float32Array): void =>
    data.forEach((_, i) => void (data[i] = i % (r + 1) === 0 ? 1 : 0));
  const [start, eye] = [{ kind: "made", make: drawn } as const, { kind: "made", make: identity } as const];
  return [
    { key: `${KEY}.std_prior`, shape: [r], initial: start },
    { key: `${KEY}.expert_weights_prior`, shape: [n], initial: start },
    { key: `${KEY}.gaussian_var_prior`, shape: [r, r], initial: eye, frozen: "saved" },
    {
      key: `${KEY}.expert_weights`,
      shape: [n],
      initial: { kind: "constant", value: 1 / n },
      frozen: "saved",
    },
  ];
}

/**
 * What A [r, in] becomes in a pass that trains: A + sum_e w_e Z_e, Z_e [r, in] normal with the variances
 * max(exp(2 std) chi2(r), 1e-3) by rows, w a softmax of normals about log alpha, alpha = exp(prior).
 * Reference: peft/tuners/lora/monteclora.py
 */
export function noisy(
  { g, p, draw }: Pick<Place, "g" | "p" | "draw">,
  a: Tensor,
  given: Given,
  shape: readonly [number, number],
): Tensor {
  if (given === undefined) return a;
  const [r, inDim] = shape;
  const n = numberIn(given, montecloraTable, "num_samples");
  const z = normals(g, draw, "noise", [n, r, inDim]);
  const chi = normals(g, draw, "spread", [r, r]);
  const choice = normals(g, draw, "choice", [n]);
  if (z === undefined || chi === undefined || choice === undefined) return a;
  const spread = g.exp(g.mul(p(`${KEY}.std_prior`), 2));
  const variance = g.max(g.mul(spread, g.sum(g.square(chi), 1)), 1e-3); // [r]
  const prior = p(`${KEY}.expert_weights_prior`);
  const inverse = g.exp(g.neg(prior)); // 1 / alpha
  const deviation = g.max(g.add(g.mul(inverse, 1 - 2 / n), g.mul(g.sum(inverse), 1 / n ** 2)), 1e-6);
  const logits = g.add(g.mul(g.sqrt(g.add(deviation, 1e-6)), choice), g.sub(prior, g.mean(prior)));
  const weighted = g.sum(g.mul(z, g.reshape(g.softmax(logits), [n, 1, 1])), 0); // [r, in]
  const factor = numberIn(given, montecloraTable, "sample_scaler");
  return g.add(a, g.mul(g.mul(weighted, g.unsqueeze(g.sqrt(variance), -1)), factor));
}

/** Box and Muller: two uniform draws make a normal one. */
function normals(g: Graph, draw: Place["draw"], name: string, shape: readonly number[]): Tensor | undefined {
  const [length, angle] = [draw(`${name} length`, shape), draw(`${name} angle`, shape)];
  if (length === undefined || angle === undefined) return undefined;
  const radius = g.sqrt(g.mul(g.log(g.sub(1, length)), -2)); // 1 - u is above 0
  return g.mul(radius, g.cos(g.mul(angle, 2 * Math.PI)));
}
