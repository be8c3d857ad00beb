import { describe, expect, it } from "vitest";
import { type Value, value } from "../../tests/ops/arrays.js";
import { evaluate } from "../../tests/ops/evaluate.js";
import { gradients } from "../autodiff/gradient.js";
import { Graph } from "../graph/graph.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { cayley } from "./block_rotation.js";
import { boft } from "./boft.js";
import { hra } from "./hra.js";
import type { Adapted, AdapterConfig, Merging, Method, ParameterSpec } from "./method.js";
import { oft } from "./oft.js";
import { road } from "./road.js";

const wave = (shape: number[], size = 1): Value => {
  const length = shape.reduce((n, d) => n * d, 1);
  return value(
    Float64Array.from({ length }, (_, i) => size * Math.sin(1.7 * i + 0.3 * i * i + 1)),
    shape,
  );
};

/** A method's output and what its merged layer yields; `set` gives the parameters. */
function outputs(
  method: unknown,
  options: Record<string, unknown>,
  {
    set,
    inDim = 8,
    transposed = false,
  }: { set?: (key: string, shape: number[]) => Value; inDim?: number; transposed?: boolean },
): { x: Value; y: Value; merged: Value } {
  const {
    config: { create },
    layers,
  } = method as Method;
  const config: AdapterConfig = create({ targetModules: ["layer"], ...options });
  const g = new Graph();
  const outDim = 8;
  const site: LinearSite = { path: "layer", inDim, outDim, weight: "w", bias: "b", transposed };
  const shape = transposed ? [inDim, outDim] : [outDim, inDim];
  const feeds: Record<string, Value> = { w: wave(shape), b: wave([outDim]), x: wave([2, 3, inDim]) };
  const p: Record<string, Tensor> = {};
  for (const { key, shape } of layers!.linear!.parameters(config, site)) {
    p[key] = g.input(key, shape);
    feeds[key] = set?.(key, [...shape]) ?? wave([...shape], 0.4);
  }
  const [weight, bias, x, one] = [
    g.weight("w", shape),
    g.input("b", [outDim]),
    g.input("x", [2, 3, inDim]),
    g.scalar(1),
  ];
  const all = { g, site, p: (key: string) => p[key]!, scale: one };
  const given = { ...all, weight: () => weight, bias: () => bias, gate: one };
  const next = (rows: Tensor): Tensor => g.add(g.linear(rows, weight, transposed), bias);
  const y = layers!.linear!.forward({ ...given, next } as unknown as Adapted<LinearSite>, x, config);
  const merged = layers!.linear!.merge!({ ...all, weight, bias } as unknown as Merging<LinearSite>, config);
  const plain = g.add(g.linear(x, merged.weight, transposed), merged.bias ?? bias);
  const [a, b] = evaluate(g, [y, plain], feeds) as [Value, Value];
  return { x: feeds.x!, y: a, merged: b };
}

const gap = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (v, i) => Math.abs(v - b[i]!)));

describe("Cayley's map", () => {
  const entries = wave([3], 2).data;
  const [a, b, c] = entries as unknown as [number, number, number];
  const skewed = (x: number): Value => value([0, x, b, -x, 0, c, -b, -c, 0], [1, 3, 3]);
  const up = wave([1, 3, 3]);

  function run(x: number): { rotation: Value; loss: number; slope: number } {
    const g = new Graph();
    const q = g.input("q", [1, 3, 3]);
    const d = cayley(g, q);
    const loss = g.sum(g.mul(d, g.input("up", [1, 3, 3])));
    const [dq] = gradients(g, loss, [q]);
    const identity = g.constant([1, 0, 0, 0, 1, 0, 0, 0, 1], [3, 3]);
    const results = evaluate(g, [g.add(d, identity), loss, dq!], { q: skewed(x), up });
    const [rotation, total, gradient] = results as [Value, Value, Value];
    return { rotation, loss: total.data[0]!, slope: gradient.data[1]! - gradient.data[3]! };
  }

  it("makes a rotation R with R (I + Q) = I - Q", () => {
    const { data: r } = run(a).rotation;
    const q = skewed(a).data;
    const unit = (i: number, j: number): number => (i === j ? 1 : 0);
    const threes = [0, 1, 2];
    for (const i of threes) {
      for (const j of threes) {
        const row = (f: (k: number) => number): number => threes.reduce((n, k) => n + f(k), 0);
        expect(row((k) => r[3 * i + k]! * r[3 * j + k]!)).toBeCloseTo(unit(i, j), 9);
        const product = row((k) => r[3 * i + k]! * (unit(k, j) + q[3 * k + j]!));
        expect(product).toBeCloseTo(unit(i, j) - q[3 * i + j]!, 9);
      }
    }
  });

  it("has the gradient that differences show", () => {
    const step = 1e-5;
    expect(run(a).slope).toBeCloseTo((run(a + step).loss - run(a - step).loss) / (2 * step), 6);
  });
});

describe.each([
  ["odd HRA", hra, { r: 3 }],
  ["HRA with Gram and Schmidt", hra, { r: 4, applyGS: true }],
  ["RoAd's second variant", road, { groupSize: 4, variant: "road_2" }],
  ["RoAd's fourth variant", road, { groupSize: 4, variant: "road_4" }],
  ["exact OFT", oft, { oftBlockSize: 4, useCayleyNeumann: false }],
  ["OFT with one block for all", oft, { oftBlockSize: 4, blockShare: true }],
  ["exact OFT with one block for all", oft, { oftBlockSize: 2, blockShare: true, useCayleyNeumann: false }],
  ["OFT by its blocks' number", oft, { oftBlockSize: 0, r: 2 }],
  ["OFT with blocks of one", oft, { oftBlockSize: 1 }],
  ["OFT of six terms", oft, { oftBlockSize: 4, numCayleyNeumannTerms: 6 }],
  ["BOFT of three factors", boft, { boftBlockSize: 2, boftNButterflyFactor: 3 }],
  ["BOFT by its blocks' number", boft, { boftBlockSize: 0, boftBlockNum: 2, boftNButterflyFactor: 2 }],
] as const)("%s", (_, method, options) => {
  it.each([false, true])("computes what its merged weight does, transposed: %s", (transposed) => {
    const { y, merged } = outputs(method, options, { transposed });
    expect(gap(y.data, merged.data)).toBeLessThan(1e-9);
  });
});

it("gives OFT of 4 terms what it has with 3, as Python does", () => {
  const run = (n: number): Value => outputs(oft, { numCayleyNeumannTerms: n }, {}).y;
  expect(run(4).data).toEqual(run(3).data);
  expect(gap(run(5).data, run(4).data)).toBeGreaterThan(1e-3);
});

function at(inDim: number, outDim = 8): LinearSite {
  return { path: "q_proj", inDim, outDim, weight: "w", bias: undefined, transposed: false };
}

it("mixes with each factor of BOFT blocks twice as far apart", () => {
  const moved = (factor: number): number[] => {
    // One block of one factor turns; the layer's weight is what tells inputs apart.
    const set = (key: string, shape: number[]): Value => {
      const data = new Float64Array(shape.reduce((n, d) => n * d, 1)).fill(key === "boft_s" ? 1 : 0);
      if (key === "boft_R") data.set([0, 1, -1, 0], factor * 16);
      return value(data, shape);
    };
    const options = { boftBlockSize: 2, boftNButterflyFactor: 3 };
    const g = new Graph();
    const site = at(8);
    const c = boft.config.create(options);
    const shapes = boft.layers!.linear!.parameters(c, site);
    const feeds = Object.fromEntries(shapes.map(({ key, shape }) => [key, set(key, [...shape])]));
    const identity = g.constant(
      Array.from({ length: 64 }, (_, i) => (i % 9 === 0 ? 1 : 0)),
      [8, 8],
    );
    const p = (key: string): Tensor => g.input(key, feeds[key]!.shape);
    const m = { g, site, p, weight: identity, bias: undefined } as unknown as Merging<LinearSite>;
    const [turned] = evaluate(g, [boft.layers!.linear!.merge!(m, c).weight], feeds) as [Value];
    return Array.from({ length: 8 }, (_, i) => i).filter((i) => Math.abs(turned.data[9 * i]! - 1) > 1e-9);
  };
  expect([0, 1, 2].map(moved)).toEqual([
    [0, 1],
    [0, 2],
    [0, 4],
  ]);
});

describe("sizes", () => {
  const shape = (method: unknown, options: Record<string, unknown>, site: LinearSite): readonly number[] => {
    const {
      config: { create },
      layers,
    } = method as Method;
    return layers!.linear!.parameters(create(options), site)[0]!.shape;
  };

  it.each<[Record<string, unknown>, number, number[]]>([
    [{}, 64, [2, 496]],
    [{}, 16, [1, 120]], // larger than the layer: its width
    [{ oftBlockSize: 7 }, 24, [4, 15]], // 6 and 8 are as near: the lower one
    [{ oftBlockSize: 11 }, 24, [2, 66]], // 12 is nearer than 8
    [{ oftBlockSize: 0, r: 5 }, 24, [4, 15]],
    [{ oftBlockSize: 6, blockShare: true }, 24, [1, 15]],
  ])("OFT moves %j at %i inputs to the nearest that divides", (options, inDim, expected) => {
    expect(shape(oft, options, at(inDim))).toEqual(expected);
  });

  it.each<[string, unknown, Record<string, unknown>, RegExp]>([
    ["OFT's blocks by both", oft, { r: 4 }, /oftBlockSize is 32 and r is 4/],
    ["OFT's blocks by neither", oft, { oftBlockSize: 0 }, /oftBlockSize is 0 and r is 0/],
    ["BOFT's blocks by both", boft, { boftBlockNum: 4 }, /boftBlockSize is 4 and boftBlockNum is 4/],
    ["a block that does not divide", boft, { boftBlockSize: 5 }, /boftBlockSize is 5 at q_proj/],
    [
      "a number that does not divide",
      boft,
      { boftBlockSize: 0, boftBlockNum: 5 },
      /boftBlockNum is 5 at q_proj/,
    ],
    ["more factors than blocks", boft, { boftNButterflyFactor: 4 }, /Factor is 4 at q_proj, with 6 blocks/],
    ["halves of odd blocks", boft, { boftBlockSize: 3, boftNButterflyFactor: 2 }, /with 8 blocks of 3/],
    ["no factors", boft, { boftNButterflyFactor: 0 }, /boftNButterflyFactor is 0/],
    ["a dropout of all", boft, { boftDropout: 1 }, /boftDropout is 1/],
    ["an odd group", road, { groupSize: 3 }, /groupSize is 3/],
    ["a group that does not divide", road, {}, /groupSize is 64 at q_proj/],
    ["a variant that is none", road, { variant: "road_3" }, /variant is "road_3"/],
    ["no reflections", hra, { r: 0 }, /r is 0/],
  ])("refuses %s", (_, method, options, message) => {
    expect(() => shape(method, options, at(24))).toThrow(message);
  });
});

it("starts HRA in pairs of reflections where r is even", () => {
  const site = at(8);
  const start = (options: Record<string, unknown>): Float32Array | undefined => {
    let n = 0;
    const random = (): number => (n = (n * 1664525 + 1013904223) >>> 0);
    const [{ shape, initial }] = hra.layers!.linear!.parameters(hra.config.create(options), site) as [
      ParameterSpec,
    ];
    const u = new Float32Array(shape[0]! * shape[1]!);
    if (initial.kind !== "made") return undefined;
    initial.make(u, random);
    return u;
  };
  const u = start({ r: 4 })!;
  for (let i = 0; i < 32; i += 2) expect(u[i]).toBe(u[i + 1]);
  expect(Math.max(...u.map(Math.abs))).toBeLessThanOrEqual(1 / Math.sqrt(2));
  expect(new Set(u).size).toBe(16);
  expect(start({ r: 3 })).toBeUndefined();
  expect(start({ r: 4, initWeights: false })).toBeUndefined();
});
