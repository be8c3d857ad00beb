import { describe, expect, test } from "vitest";
import { value } from "../../tests/ops/arrays.js";
import { evaluate } from "../../tests/ops/evaluate.js";
import { Graph } from "../graph/graph.js";
import type { OpName, Tensor } from "../graph/ops.js";
import { gradients, vjp } from "./gradient.js";

/** How often a primitive occurs among the tensors that the outputs are made of. */
function countOps(outputs: readonly (Tensor | undefined)[], op: OpName): number {
  const known = new Set<Tensor>();
  const visit = (x: Tensor): void => {
    if (known.has(x)) return;
    known.add(x);
    x.inputs.forEach(visit);
  };
  for (const x of outputs) if (x !== undefined) visit(x);
  return [...known].filter((x) => x.op === op).length;
}

describe("gradients", () => {
  test("add up over everything that uses a tensor", () => {
    const g = new Graph();
    const x = g.input("x", []);
    const y = g.mul(x, x); // shared below
    const loss = g.add(g.mul(y, y), g.mul(3, y)); // x^4 + 3 x^2
    const [dx] = gradients(g, loss, [x]);
    expect(evaluate(g, [dx!], { x: value([2], []) })[0]!.data[0]).toBe(4 * 8 + 6 * 2);
  });

  test("by an intermediate tensor and by what it is made of, in one walk", () => {
    const g = new Graph();
    const x = g.input("x", []);
    const y = g.mul(x, 3);
    const [dy, dx] = gradients(g, g.mul(y, y), [y, x]);
    const feeds = { x: value([2], []) };
    expect(evaluate(g, [dy!, dx!], feeds).map((v) => v.data[0])).toEqual([12, 36]);
  });

  test("are undefined where the loss does not depend, and behind detach", () => {
    const g = new Graph();
    const [x, y, unused] = ["x", "y", "unused"].map((name) => g.input(name, ["batch"]));
    const loss = g.sum(g.mul(x!, g.detach(g.exp(y!))));
    const size = g.nodes.length;
    const [dx, dy, none] = gradients(g, loss, [x!, y!, unused!]);
    expect(dx).toBeDefined();
    expect(dy).toBeUndefined();
    expect(none).toBeUndefined();
    gradients(g, loss, [y!, unused!]);
    expect(g.nodes.slice(size).filter((n) => n.op === "exp")).toHaveLength(0);
  });

  test("of LoRA: frozen weights get none, and nothing is differentiated below the lowest adapter", () => {
    const g = new Graph();
    const x = g.input("x", ["batch", "seq", 8]);
    const [a, b] = [g.input("a", [2, 8]), g.input("b", [8, 2])];
    const layer = (h: Tensor, i: number): Tensor => g.gelu(g.linear(h, g.weight(`w${i}`, [8, 8])));
    const h = layer(layer(x, 0), 1);
    const adapted = g.add(g.linear(h, g.weight("w2", [8, 8])), g.linear(g.linear(h, a), b));
    const loss = g.sum(layer(adapted, 3));
    const forward = g.nodes.length;
    const results = gradients(g, loss, [a, b]);
    const added = g.nodes.slice(forward);
    // dA and dB only; dx of w3 and of b; one gelu
    expect(added.filter((n) => n.op === "matmul")).toHaveLength(2);
    expect(added.filter((n) => n.op === "linear")).toHaveLength(2);
    expect(added.filter((n) => n.op === "erf")).toHaveLength(1);
    expect(results.map((d) => d!.shape)).toEqual([a.shape, b.shape]);
  });

  test("emit nothing that is not used", () => {
    const g = new Graph();
    const x = g.input("x", ["batch", 4]);
    const scale = g.weight("scale", [4]);
    const normed = g.layerNorm(x, scale, g.weight("bias", [4]), 1e-5);
    const loss = g.mean(g.max(g.softmax(g.silu(normed)), g.div(x, 3)));
    const forward = g.nodes.length;
    const [dx] = gradients(g, loss, [x]);
    const used = new Set<Tensor>();
    const visit = (n: Tensor): void => {
      used.add(n);
      n.inputs.forEach(visit);
    };
    visit(dx!);
    expect(g.nodes.slice(forward).filter((n) => !used.has(n))).toEqual([]);
  });

  test("of pieces cut from one tensor are put together by one concat, not by padding each", () => {
    const g = new Graph();
    const x = g.input("x", ["batch", 6]);
    const [q, k, v] = g.split(x, -1, [1, 3, 2]);
    const loss = g.sum(g.concat([g.exp(v!), g.sin(k!), g.neg(q!)], -1));
    const [dx] = gradients(g, loss, [x]);
    expect(countOps([dx], "pad")).toBe(0);
    expect(countOps([dx], "concat")).toBe(1);
    const fed = value([1, 2, 3, 4, 5, 6], [1, 6]);
    const expected = [-1, Math.cos(2), Math.cos(3), Math.cos(4), Math.exp(5), Math.exp(6)];
    expect([...evaluate(g, [dx!], { x: fed })[0]!.data]).toEqual(expected);
  });

  test("share ties evenly, as torch does", () => {
    const g = new Graph();
    const [x, y] = [g.input("x", [3]), g.input("y", [3])];
    const feeds = { x: value([1, 2, 2], [3]), y: value([1, 5, 0], [3]) };
    const [dx, dy] = gradients(g, g.sum(g.max(x, y)), [x, y]);
    expect(evaluate(g, [dx!, dy!], feeds).map((v) => [...v.data])).toEqual([
      [0.5, 0, 1],
      [0.5, 1, 0],
    ]);
    const [top] = gradients(g, g.amax(x), [x]);
    expect([...evaluate(g, [top!], feeds)[0]!.data]).toEqual([0, 0.5, 0.5]);
  });

  test("are zero, not NaN, where torch says so: relu and abs at 0, powers at 0", () => {
    const g = new Graph();
    const x = g.input("x", [2]);
    const p = g.input("p", [2]);
    const feeds = { x: value([0, 0], [2]), p: value([0, 2], [2]) };
    const loss = g.sum(g.add(g.relu(x), g.add(g.abs(x), g.pow(x, p))));
    const results = gradients(g, loss, [x, p]);
    expect(evaluate(g, results as Tensor[], feeds).flatMap((v) => [...v.data].map(Math.abs))).toEqual([
      0, 0, 0, 0,
    ]);
  });

  test("walk a chain of 20000 nodes once: three nodes and a few reads for each", () => {
    const g = new Graph();
    const x = g.input("x", ["batch", 4]);
    let y: Tensor = x;
    for (let i = 0; i < 20_000; i++) y = g.sin(y);
    const loss = g.sum(y);
    const before = g.nodes.length;
    let reads = 0;
    const nodes = new Proxy(g.nodes, {
      get(target, key) {
        reads++;
        return Reflect.get(target, key);
      },
    });
    Object.defineProperty(g, "nodes", { value: nodes });
    expect(gradients(g, loss, [x])[0]).toBeDefined();
    expect(g.nodes.length - before).toBeLessThan(3 * before);
    expect(reads).toBeLessThan(20 * before);
  });

  test("start from gradients that come from outside, for one block of a model", () => {
    const g = new Graph();
    const [x, dy, dz] = [g.input("x", [2]), g.input("dy", [2]), g.input("dz", [2])];
    const [dx] = vjp(g, [g.exp(x), g.mul(x, x)], [dy, dz], [x]);
    const feeds = { x: value([0, 1], [2]), dy: value([1, 0], [2]), dz: value([5, 10], [2]) };
    expect([...evaluate(g, [dx!], feeds)[0]!.data]).toEqual([1, 20]);
  });
});

describe("bugs of ours", () => {
  const g = new Graph();
  const x = g.input("x", ["batch", "seq", 4]);
  const head = g.input("head", [5, 4]);
  const labels = g.input("labels", ["batch", "seq"], "i64");

  test("a loss that is no scalar", () => {
    expect(() => gradients(g, x, [x])).toThrow(/scalar, not \[batch,seq,4\]/);
  });
  test("a trainable head under the chunked cross entropy", () => {
    const loss = g.sum(g.add_("crossEntropy", { smoothing: 0 }, [x, head, labels]));
    expect(() => gradients(g, loss, [head])).toThrow(/frozen/);
  });
  test("second derivatives through saved statistics", () => {
    const normed = g.rmsNorm(x, g.weight("scale", [4]), 1e-5);
    expect(() => gradients(g, g.sum(g.aux(normed, 1)), [x])).toThrow(/no second derivatives/);
  });
});
