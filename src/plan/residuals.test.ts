import { expect, it } from "vitest";
import { gradients } from "../autodiff/gradient.js";
import { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import { withResiduals } from "./residuals.js";

/**
 * What is kept of x -> W1 -> activation (-> adapter, if trained) -> W2 -> sum, for the gradients by x and by
 * the adapter.
 */
function kept(activation: (g: Graph, x: Tensor) => Tensor, adapted: boolean): string[] {
  const g = new Graph();
  const x = g.input("x", ["tokens", 64]);
  const a = g.input("a", [8, 256]);
  const inner = activation(g, g.linear(x, g.weight("up", [256, 64])));
  const down = g.linear(inner, g.weight("down", [64, 256]));
  const loss = g.sum(adapted ? g.add(down, g.sum(g.linear(inner, a))) : down);
  const first = g.nodes.length;
  const [dx, da] = gradients(g, loss, [x, a]);
  const outputs: Record<string, Tensor> = adapted ? { dx: dx!, da: da! } : { dx: dx! };
  return withResiduals(outputs, first).residuals.map(({ dtype, shape }) => `${dtype} [${shape}]`);
}

it("keeps a comparison of a layer's result where that is all the gradient needs", () => {
  expect(kept((g, x) => g.relu(x), false)).toEqual(["bool [tokens,256]"]);
});

it("keeps the result where more than a comparison is needed, and then nothing else", () => {
  expect(kept((g, x) => g.relu(x), true)).toEqual(["f32 [tokens,256]"]);
  expect(kept((g, x) => g.gelu(x, "none"), false)).toEqual(["f32 [tokens,256]"]);
});
