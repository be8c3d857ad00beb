import { expect, test } from "vitest";
import { cut } from "./cut.js";
import { Graph } from "./graph.js";
import type { Tensor } from "./ops.js";

/**
 * x -> block 0 -> block 1 -> y, each block a layer whose bias both read, which is computed outside of them.
 */
function twoBlocks() {
  const g = new Graph();
  const x = g.input("x", ["batch", 4]);
  const bias = g.exp(g.input("bias", [4]));
  const layer = (i: number, from: Tensor): Tensor =>
    g.block(`layers.${i}`, { x: from }, { bias }, ({ x: y }) => ({
      y: g.add(g.linear(y, g.weight(`w${i}`, [4, 4])), bias),
    })).y;
  const middle = layer(0, x);
  const last = layer(1, middle);
  return { g, x, bias, middle, last };
}

test("blocks in their order, what both read once before them, what none makes at the end", () => {
  const { g, bias, middle, last } = twoBlocks();
  const loss = g.sum(last);
  expect(cut(g, [loss])).toEqual([
    { block: undefined, inputs: [], outputs: [bias] },
    { block: "layers.0", inputs: [bias], outputs: [middle] },
    { block: "layers.1", inputs: [bias, middle], outputs: [last] },
    { block: undefined, inputs: [last], outputs: [loss] },
  ]);
});

test("a block that no result needs is in no segment", () => {
  const { g, middle } = twoBlocks();
  const found = cut(g, [middle]);
  expect(found.map(({ block }) => block)).toEqual([undefined, "layers.0"]);
});

test("sources are never a boundary: whoever reads them has them", () => {
  const g = new Graph();
  const ids = g.iota("seq");
  const scale = g.size("seq");
  const x = g.input("x", ["seq"]);
  const { y } = g.block("layers.0", { x }, {}, () => ({
    y: g.mul(g.add(g.cast(ids, "f32"), g.weight("w", [1])), scale),
  }));
  const result = g.mul(y, scale);
  const segments = cut(g, [result]);
  expect(segments.map(({ inputs }) => inputs)).toEqual([[], [y]]);
});

test("a result from inside of a block is made there", () => {
  const g = new Graph();
  const x = g.input("x", ["seq", 4]);
  let keys: Tensor | undefined;
  const { y } = g.block("layers.0", { x }, {}, () => {
    keys = g.exp(x);
    return { y: g.neg(keys) };
  });
  const [block] = cut(g, [y, keys!]);
  expect(new Set(block!.outputs)).toEqual(new Set([y, keys]));
});
