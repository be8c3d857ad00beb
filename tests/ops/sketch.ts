import { type Dim, evalDim, type Shape } from "../../src/graph/dims.js";
import { Graph } from "../../src/graph/graph.js";
import type { DType, Tensor } from "../../src/graph/ops.js";
import { build, type Value } from "./arrays.js";

/** A seeded source of random numbers for tests. */
export interface Random {
  /** Uniform in [low, high). */
  uniform(low: number, high: number): number;
  /** An integer in low .. high, both included. */
  int(low: number, high: number): number;
  pick<T>(options: readonly T[]): T;
  chance(p: number): boolean;
}

export function createRandom(seed: number): Random {
  let state = seed | 0;
  const next = (): number => {
    state = (state + 0x9e3779b9) | 0;
    let x = Math.imul(state ^ (state >>> 16), 0x7feb352d);
    x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
    return ((x ^ (x >>> 16)) >>> 0) / 2 ** 32;
  };
  const int = (low: number, high: number): number => low + Math.floor(next() * (high - low + 1));
  return {
    uniform: (low, high) => low + next() * (high - low),
    int,
    pick: (options) => options[int(0, options.length - 1)]!,
    chance: (p) => next() < p,
  };
}

/** What feeds an input or a weight. */
export interface Feed extends Value {
  readonly dtype: DType;
}

/**
 * A random case of a primitive: a graph that contains it, what feeds the graph, and what it can be
 * differentiated by.
 */
export interface Draw {
  readonly g: Graph;
  readonly outputs: readonly Tensor[];
  /** By the name of the input or weight. */
  readonly feeds: Readonly<Record<string, Feed>>;
  /** Values of the names in dimensions. */
  readonly dims: ReadonlyMap<string, number>;
  /** Inputs and weights by which every output is differentiable at what is fed. */
  readonly by: readonly Tensor[];
}

/** How the numbers of an input are drawn. */
export type Sample = (index: readonly number[]) => number;

/** A graph being drawn, with inputs that bring their own numbers. */
export interface Sketch {
  readonly g: Graph;
  readonly random: Random;
  /** A random dimension: "batch" or "seq" (bound by what is fed), or 1, 2 or 3. `empty`: seq may be 0. */
  dim(): Dim;
  shape(minRank: number, maxRank: number): Dim[];
  /** A shape that broadcasts with the one given: axes left out in front, or of length 1. */
  narrowed(shape: Shape): Dim[];
  sizeOf(dim: Dim): number;
  /** An f32 input that gradients are checked by. Default numbers: normal. */
  f32(shape: Shape, sample?: Sample): Tensor;
  /** An f32 input, or now and then one of i64: for primitives that only move numbers. */
  either(shape: Shape): Tensor;
  ids(shape: Shape, below: number): Tensor;
  /** i64 numbers of each index. */
  given(shape: Shape, numbers: Sample): Tensor;
  bool(shape: Shape): Tensor;
  integers(shape: Shape, low: number, high: number, dtype: "i32" | "i64"): Tensor;
  weight(shape: readonly number[], sample?: Sample): Tensor;
  /** A weight that gradients are not checked by. */
  frozen(shape: readonly number[]): Tensor;
  /** Feeds something of each named length, so that the names have a value whatever else the draw needs. */
  bind(...names: string[]): void;
  normal: Sample;
  /** Numbers that differ from each other, across all inputs of the sketch, by 0.05 or more. */
  distinct: Sample;
  /** Away from zero. */
  nonZero: Sample;
  positive: Sample;
  done(...outputs: Tensor[]): Draw;
}

/** empty: whether "seq" may be 0. */
export function sketch(random: Random, empty = true): Sketch {
  const g = new Graph();
  const dims = new Map([
    ["batch", random.int(1, 3)],
    ["seq", empty && random.chance(0.15) ? 0 : random.int(1, 4)],
    ["past", random.int(0, 3)],
  ]);
  const feeds: Record<string, Feed> = {};
  const by: Tensor[] = [];
  const numbers = Array.from({ length: 400 }, (_, i) => (i - 200) / 10);
  const sizeOf = (dim: Dim): number => evalDim(dim, dims);
  const fill = (shape: Shape, dtype: DType, sample: Sample): string => {
    const name = `x${Object.keys(feeds).length}`;
    feeds[name] = { ...build(shape.map(sizeOf), sample), dtype };
    return name;
  };
  const input = (shape: Shape, dtype: DType, sample: Sample): Tensor =>
    g.input(fill(shape, dtype, sample), shape, dtype);
  const normal = (): number =>
    Math.sqrt(-2 * Math.log(1 - random.uniform(0, 1))) * Math.cos(2 * Math.PI * random.uniform(0, 1));
  const dim = (): Dim => random.pick(["batch", "seq", 1, 2, 3]);
  const watched = (x: Tensor): Tensor => {
    by.push(x);
    return x;
  };
  const integers = (shape: Shape, low: number, high: number, dtype: DType): Tensor =>
    input(shape, dtype, () => random.int(low, high));
  return {
    g,
    random,
    dim,
    shape: (minRank, maxRank) => Array.from({ length: random.int(minRank, maxRank) }, dim),
    narrowed: (shape) => shape.slice(random.int(0, shape.length)).map((d) => (random.chance(0.3) ? 1 : d)),
    sizeOf,
    f32: (shape, sample = normal) => watched(input(shape, "f32", sample)),
    either: (shape) =>
      random.chance(0.2) ? integers(shape, -9, 9, "i64") : watched(input(shape, "f32", normal)),
    ids: (shape, below) => input(shape, "i64", () => random.int(0, below - 1)),
    given: (shape, numbers) => input(shape, "i64", numbers),
    bool: (shape) => input(shape, "bool", () => random.int(0, 1)),
    integers,
    weight: (shape, sample = normal) => watched(g.weight(fill(shape, "f32", sample), shape)),
    frozen: (shape) => g.weight(fill(shape, "f32", normal), shape),
    bind: (...names) => {
      for (const name of names) integers([name], 0, 1, "i64");
    },
    normal,
    distinct: () => numbers.splice(random.int(0, numbers.length - 1), 1)[0]! + random.uniform(-0.02, 0.02),
    nonZero: () => random.pick([-1, 1]) * random.uniform(0.3, 2),
    positive: () => random.uniform(0.3, 2),
    done: (...outputs) => ({ g, outputs, feeds, dims, by }),
  };
}
