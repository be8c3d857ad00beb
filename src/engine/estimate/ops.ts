import type { Dim, Shape } from "../../graph/dims.js";
import { axes, dimAt } from "../../graph/dims.js";
import type { DType, OpName, Ops, Table } from "../../graph/ops.js";
import type { ProgramNode } from "../program.js";

/** What a primitive takes of an arena while it runs, beside its result. */
export interface Cost {
  /**
   * Where its result is: memory of its own, its first input's, a node's further results, or outside of the
   * arena.
   */
  readonly result: "own" | "alias" | "further" | "outside";
  /** Bytes of each intermediate result; all of them are alive at once. */
  readonly scratch: readonly number[];
}

/** Numbers that costs are counted from: elements of a shape, in the batch at hand. */
export interface Sizes {
  readonly elements: (shape: Shape) => number;
  readonly dim: (dim: Dim) => number;
  /** Shape of a node's input. */
  readonly input: (i: number) => Shape;
  /** Results beyond the first that are wanted. */
  readonly wanted: ReadonlyMap<number, unknown>;
}

export const BYTES_OF: Readonly<Record<DType, number>> = { f32: 4, i64: 8, i32: 4, bool: 1 };

type Rule<K extends OpName> = (node: ProgramNode<K>, s: Sizes) => Cost;

const OWN: Cost = { result: "own", scratch: [] };
const ALIAS: Cost = { result: "alias", scratch: [] };
const own = (): Cost => OWN;
const alias = (): Cost => ALIAS;
const outside = (): Cost => ({ result: "outside", scratch: [] });
const beside = (...scratch: number[]): Cost => ({ result: "own", scratch });
const reduce = ({ attrs }: { readonly attrs: Ops["sum"] }): Cost => (attrs.axes.length === 0 ? ALIAS : OWN);

/** The part of all rows that one expert may have: four times its even share. */
export function shareOf(experts: number): number {
  return Math.min(1, 4 / experts);
}

/** Bytes of one chunk's scores. */
function chunkScores({ attrs, shape }: ProgramNode<"attention" | "attentionGradient">, s: Sizes): number {
  const [batch, heads, queries] = axes(shape, 4);
  return 4 * s.elements([batch, heads, Math.min(attrs.chunk, s.dim(queries)), dimAt(s.input(1), 2)]);
}

/** As `onnx/lowering.ts` writes them: most are one kernel with one result. */
const costs: Table<{ [K in OpName]: Rule<K> }> = {
  input: outside,
  weight: outside,
  constant: outside,
  size: own,
  iota: own,
  // a chain of u32 results, of which a value, its shift and what comes of both are alive together
  random: (node, s) => beside(4 * s.elements(node.shape), 4 * s.elements(node.shape)),
  neg: own,
  exp: own,
  log: own,
  sqrt: own,
  abs: own,
  tanh: own,
  sigmoid: own,
  relu: own,
  erf: own,
  sin: own,
  cos: own,
  gelu: (node, s) => (node.attrs.approximate === "tanh" ? beside(4 * s.elements(node.shape)) : OWN),
  silu: own,
  not: own,
  cast: own,
  detach: alias,
  add: own,
  sub: own,
  mul: own,
  div: own,
  max: own,
  min: own,
  pow: own,
  equal: own,
  less: own,
  and: own,
  or: own,
  where: own,
  sum: reduce,
  mean: reduce,
  amax: reduce,
  cumsum: own,
  reshape: alias,
  transpose: own,
  expand: own,
  slice: own,
  concat: own,
  pad: own,
  gather: own,
  scatterAdd: (node, s) => {
    const [moved, sums] = [4 * s.elements(s.input(0)), 4 * s.elements(node.shape)];
    return node.attrs.axis === 0 ? beside(sums) : beside(moved, sums, sums);
  },
  moveRows: (node, s) => (node.attrs.fill ? beside(4 * s.elements(node.shape)) : OWN),
  gatherLast: own,
  scatterLast: (node, s) => beside(4 * s.elements(node.shape)),
  writeRows: own,
  topK: (node, s) => beside(4 * s.elements(node.shape)),
  matmul: own,
  linear: own,
  // the experts' results before they are put together; one expert's rows, its matrix and its result
  expertLinear: (node, s) => {
    const share = shareOf(s.dim(dimAt(s.input(1), 0)) - 1);
    return beside(4 * s.elements(node.shape), 4 * share * s.elements(s.input(0)));
  },
  expertOuter: (node, s) => {
    const [experts] = node.shape;
    const share = shareOf(s.dim(experts ?? 1));
    const rows = 4 * share * (s.elements(s.input(0)) + s.elements(s.input(1)));
    return beside(rows, (4 * s.elements(node.shape)) / s.dim(experts ?? 1));
  },
  conv: own,
  // what dy and the kernel are multiplied to, of one row; and what the result is cut out of
  convTranspose: (node, s) => {
    const columns = s.elements(s.input(1).slice(1)) * s.elements(s.input(0).slice(2));
    const isCut = node.attrs.stride.some((stride) => stride > 1);
    return beside(4 * columns, isCut ? 4 * s.elements(node.shape) : 0);
  },
  softmax: own,
  logSoftmax: own,
  layerNorm: own,
  rmsNorm: own,
  rotary: own,
  // a chunk's logits and their exponentials, or the logits before them
  crossEntropy: (_, s) => {
    const [chunk, hidden] = [s.dim(dimAt(s.input(0), 1)), s.dim(dimAt(s.input(0), 2))];
    const logits = 4 * chunk * s.dim(dimAt(s.input(1), 0));
    const rows = 4 * chunk * hidden;
    const ofStatistics = [2, 3, 4, 5].some((index) => s.wanted.has(index)) ? [logits] : [];
    const ofGradient = s.wanted.has(1) ? [rows, rows] : [];
    return beside(logits, logits, ...ofStatistics, ...ofGradient);
  },
  // of the gradient: what comes to a state, what goes on from it, both together, and their shares
  ctc: (_, s) => {
    const whole = 4 * s.elements(s.input(0));
    return s.wanted.has(1) ? beside(whole, whole, whole, whole) : beside(whole);
  },
  attentionBias: (node, s) => beside(s.elements(node.shape)),
  // the queries in chunks, what comes of them, and of one chunk the scores, with their mask, and weights
  attention: (node, s) => {
    const [q, scores] = [4 * s.elements(node.shape), chunkScores(node, s)];
    return beside(q, q, scores, scores, scores);
  },
  // dy's chunks too; keys' and values' gradients, as they were and as they become
  attentionGradient: (node, s) => {
    const [q, kv, scores] = [4 * s.elements(node.shape), 4 * s.elements(s.input(1)), chunkScores(node, s)];
    return beside(q, q, q, kv, kv, scores, scores, scores, scores);
  },
  aux: () => ({ result: "further", scratch: [] }),
};

export function costOf<K extends OpName>(node: ProgramNode<K>, s: Sizes): Cost {
  const rule: Rule<K> = costs[node.op];
  return rule(node, s);
}
