import { activate, activationNames } from "../graph/activations.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { configClass } from "./config.js";
import type { PeanutOptions, PeanutValues } from "./config_types.js";
import type { DeltaParts } from "./delta.js";
import { addsToWeight } from "./delta.js";
import { kaiming, ZERO } from "./initial.js";
import type { ConfigClass, Method, MethodTable, ParameterSpec, SiteMethod } from "./method.js";
import { blocks, rank, saving, startsWithoutEffect, targets } from "./shared_options.js";

const options: MethodTable = {
  ...saving,
  ...targets,
  ...blocks,
  r: rank(32, "width of the network that makes the update of the weight"),
  depth: {
    kind: "whole",
    min: 0,
    byDefault: 0,
    means: "hidden layers on each side of the network, between its first and its last one",
  },
  actFn: { kind: "text", choices: activationNames, byDefault: "relu", means: "activation of the network" },
  scaling: { kind: "number", byDefault: 1, float: true, also: ["alpha"], means: "factor of the change" },
  initWeights: startsWithoutEffect,
};

export type { PeanutOptions };
export type PeanutConfig = PeanutValues;
/**
 * Config of PEANuT (arXiv 2410.01870). Reference: peft/tuners/peanut/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, PeanutConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new PeanutConfig({ r: 16, depth: 1 }));
 * ```
 */
export const PeanutConfig: ConfigClass<PeanutValues, PeanutOptions> = configClass("PEANUT", "PeanutConfig", {
  options,
});

const encoder = (i: number): string => `peanut_encoders.${i}.weight`;
const decoder = (i: number): string => `peanut_decoders.${i}.weight`;

function parameters(c: PeanutConfig, { outDim }: LinearSite): ParameterSpec[] {
  const { r, depth } = c;
  const hidden = (key: string): ParameterSpec => ({ key, shape: [r, r], initial: kaiming(r), free: [0, 1] });
  const levels = Array.from({ length: depth }, (_, i) => i);
  return [
    { key: "peanut_A.weight", shape: [r, outDim], initial: kaiming(outDim), free: [0] },
    {
      key: "peanut_B.weight",
      shape: [outDim, r],
      initial: c.initWeights ? ZERO : kaiming(r),
      free: [1],
    },
    ...levels.map((i) => hidden(encoder(i))),
    ...levels.map((i) => hidden(decoder(i))),
  ];
}

/**
 * D^T = B(net(A(W^T))): columns of W through a network, whose decoders add what their encoders read, the last
 * one first.
 */
function delta({ g, p, weight }: DeltaParts, c: PeanutConfig): Tensor {
  const layer = (x: Tensor, key: string): Tensor => activate(g, c.actFn, g.linear(x, p(key)));
  let h = activate(g, c.actFn, g.matmul(weight(), p("peanut_A.weight"), { transA: true, transB: true }));
  const kept: Tensor[] = [];
  for (let i = 0; i < c.depth; i++) {
    kept.push(h); // [in, r]
    h = layer(h, encoder(i));
  }
  for (const [i, read] of kept.reverse().entries()) h = g.add(layer(h, decoder(i)), read);
  return g.matmul(p("peanut_B.weight"), h, { transB: true });
}

const linear: SiteMethod<PeanutConfig, LinearSite> = {
  parameters,
  ...addsToWeight(delta),
  scale: (c) => c.scaling,
  structure: (c) => `${c.actFn} ${c.depth}`,
};

/**
 * A small network that reads the weight and makes its change. arXiv 2410.01870. Reference:
 * peft/tuners/peanut/layer.py
 */
export const peanut: Method<PeanutConfig> = {
  name: "peanut",
  config: PeanutConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    linear,
  },
};
