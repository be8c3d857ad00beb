import { keysOf } from "../narrow.js";
import type { Graph } from "./graph.js";
import type { Tensor } from "./ops.js";

type Rule = (g: Graph, x: Tensor) => Tensor;

export type Activation =
  | "relu"
  | "relu2"
  | "gelu"
  | "gelu_python"
  | "gelu_new"
  | "gelu_fast"
  | "gelu_accurate"
  | "gelu_pytorch_tanh"
  | "quick_gelu"
  | "silu"
  | "swish"
  | "tanh"
  | "sigmoid"
  | "linear";

const gelu: Rule = (g, x) => g.gelu(x);
const geluTanh: Rule = (g, x) => g.gelu(x, "tanh");
const silu: Rule = (g, x) => g.silu(x);

/** Activations by the names that config.json gives them. Reference: transformers/activations.py */
const rules: Readonly<Record<Activation, Rule>> = {
  relu: (g, x) => g.relu(x),
  relu2: (g, x) => g.square(g.relu(x)),
  gelu,
  gelu_python: gelu,
  gelu_new: geluTanh,
  gelu_fast: geluTanh,
  gelu_accurate: geluTanh,
  gelu_pytorch_tanh: geluTanh,
  quick_gelu: (g, x) => g.mul(x, g.sigmoid(g.mul(x, 1.702))),
  silu,
  swish: silu,
  tanh: (g, x) => g.tanh(x),
  sigmoid: (g, x) => g.sigmoid(x),
  linear: (_, x) => x,
};

export const activationNames: readonly Activation[] = keysOf(rules);

export function activate(g: Graph, name: Activation, x: Tensor): Tensor {
  return rules[name](g, x);
}
