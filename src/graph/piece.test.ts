import { expect, test } from "vitest";
import { cut } from "./cut.js";
import { localDim } from "./dims.js";
import { Graph, siteNumber } from "./graph.js";
import type { Tensor } from "./ops.js";
import { isOp } from "./ops.js";
import { pieceOf } from "./piece.js";

/** Blocks that differ by names alone: of weights, adapters' tensors, ranks and sites. */
function blocks(count: number) {
  const g = new Graph();
  const key = g.input("key", ["batch"], "i32");
  let x = g.exp(g.input("x", ["batch", 4])); // made between blocks, as embeddings are
  for (let i = 0; i < count; i++) {
    const rank = localDim(`slot${i}`, "r");
    x = g.block(`layers.${i}`, { x }, {}, ({ x: from }) => {
      const dropped = g.dropout(from, 0.5, g.random(key, siteNumber(`layers.${i}`), from.shape));
      const down = g.linear(dropped, g.input(`${i}/A`, [rank, 4]));
      const up = g.linear(g.reshape(down, ["batch", rank]), g.input(`${i}/B`, [4, rank]));
      return { x: g.add(g.linear(from, g.weight(`layers.${i}.w`, [4, 4])), up) };
    }).x;
  }
  return { g, x };
}

const content = ({ nodes }: Graph) =>
  nodes.map(({ id, op, attrs, inputs, shape }) => ({
    id,
    op,
    attrs,
    inputs: inputs.map((x) => x.id),
    shape,
  }));

test("blocks of one kind are one graph", () => {
  const { g, x } = blocks(2);
  const [, first, second] = cut(g, [x]).map(pieceOf);
  expect(content(second!.g)).toEqual(content(first!.g));
  expect([...first!.weights]).toEqual([["layers.0.w", "w0"]]);
  expect([...second!.weights]).toEqual([["layers.1.w", "w0"]]);
  expect([...second!.inputs.keys()]).toEqual(expect.arrayContaining(["1/A", "1/B", "key"]));
  expect([...second!.localDims]).toEqual(["rank0"]);
  const dims = second!.g.nodes.flatMap((n) => n.shape.filter((d) => typeof d === "string"));
  expect(new Set(dims)).toEqual(new Set(["batch", "rank0"]));
});

test("sites are numbers that are fed, each block its own", () => {
  const { g, x } = blocks(2);
  const sites = cut(g, [x])
    .slice(1)
    .map((segment) => [...pieceOf(segment).numbers]);
  expect(sites.map((s) => s.map(([name]) => name))).toEqual([["n0"], ["n0"]]);
  expect(sites[0]![0]![1]).not.toBe(sites[1]![0]![1]);
});

test("what stands between blocks keeps its names and numbers", () => {
  const g = new Graph();
  const rank = localDim("slot0", "r");
  const key = g.input("key", ["batch"], "i32");
  const x = g.input("x", ["batch", 1]);
  const dropped = g.dropout(x, 0.5, g.random(key, siteNumber("head"), x.shape));
  const y = g.mul(g.input("0/A", ["batch", rank]), dropped);
  const piece = pieceOf({ block: undefined, inputs: [], outputs: [y] });
  expect([...piece.inputs].every(([name, own]) => name === own.attrs.name)).toBe(true);
  expect(piece.numbers.size).toBe(0);
  expect([...piece.localDims]).toEqual([rank]);
});

test("every attribute that holds dimensions speaks of the piece's own", () => {
  const g = new Graph();
  const r = localDim("slot0", "r");
  const ids = g.cast(g.iota(r), "i64");
  const a = g.input("0/A", [r, 4]);
  const outputs: Tensor[] = [
    g.slice(g.pad(a, 0, r, r), 0, r, "2*slot0.r"),
    g.scatterAdd(a, ids, 0, r),
    g.scatterLast(g.input("dy", [1, r]), g.reshape(ids, [1, r]), r),
    g.expand(g.size(r), [r]),
  ];
  const piece = pieceOf({ block: "layers.0", inputs: [], outputs });
  expect(JSON.stringify(content(piece.g))).not.toContain("slot0");
  expect(piece.outputs.map((y) => y.op)).toEqual(["slice", "scatterAdd", "scatterLast", "expand"]);
});

test("results of other segments are inputs", () => {
  const { g, x } = blocks(2);
  const [, , second] = cut(g, [x]);
  const piece = pieceOf(second!);
  const [[from, own]] = [...piece.given] as [[Tensor, Tensor<"input">]];
  expect(second!.inputs).toEqual([from]);
  expect(own.attrs.name).toBe("x0");
  expect(piece.g.nodes.filter((n) => isOp(n, "weight"))).toHaveLength(1);
});
