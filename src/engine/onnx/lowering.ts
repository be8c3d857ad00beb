// Over 400 lines: one table, one rule for each primitive.
import { internal, PeftError } from "../../errors.js";
import type { Dim, DimSource, Shape } from "../../graph/dims.js";
import {
  addDims,
  dimAt,
  factorsOf,
  findDims,
  isFixedShape,
  lengthAt,
  parseDim,
  quotientOf,
} from "../../graph/dims.js";
import { opRows, storedInput } from "../../graph/op_rows.js";
import type { Convolves, DType, Inputs, OpName, Ops, Table, UnaryOp } from "../../graph/ops.js";
import { mapInputs } from "../../graph/ops.js";
import { at } from "../../present.js";
import type { BoundWeight } from "../formats/format.js";
import type { Program, ProgramNode } from "../program.js";
import { furtherResults, isNode } from "../program.js";
import { addRequest } from "../region.js";
import type { Heads } from "./attention.js";
import { attentionBias, attentionGradientScan, attentionScan } from "./attention.js";
import { crossEntropyScan } from "./cross_entropy.js";
import { ctcScans } from "./ctc.js";
import { asStack, expertLinear, expertOuter } from "./experts.js";
import { type Attribute, OnnxGraph } from "./onnx.js";
import { lowerRandom } from "./random.js";

export type BindWeight = (o: OnnxGraph, name: string, shape: readonly number[]) => BoundWeight;

/** One program on its way to ONNX. */
export interface Lowering {
  readonly o: OnnxGraph;
  readonly program: Program;
  /** The execution provider that will run it. */
  readonly device: string;
  /** Names of each node's results. */
  readonly values: string[][];
  readonly bind: BindWeight;
  /** Weights by their node. */
  readonly weights: Map<number, BoundWeight>;
  /** Results of a node beyond the first that are asked for. */
  readonly wanted: ReadonlyMap<number, ReadonlyMap<number, unknown>>;
  readonly dims: ReadonlyMap<string, DimSource<string>>;
  readonly memo: Map<string, string>;
}

interface Context<K extends OpName> {
  readonly l: Lowering;
  readonly o: OnnxGraph;
  readonly node: ProgramNode<K>;
  readonly index: number;
  readonly inputs: Inputs<string>[K];
}

/** A rule's answer where the device has no kernels for its primitive. */
const UNSUPPORTED: unique symbol = Symbol("unsupported");

/** Names of a primitive's results, the first one first. */
type LoweringRule<K extends OpName> = (c: Context<K>) => string | string[] | typeof UNSUPPORTED;

/** int64 [1] holding a dimension's value. */
function dimValue(l: Lowering, dim: Dim): string {
  if (typeof dim === "number") return l.o.ints([dim]);
  return memo(l, `dim ${dim}`, () => {
    const terms = [...parseDim(dim)].map(([monomial, coefficient]) => {
      const scale = coefficient === 1 && monomial !== "" ? [] : [l.o.ints([coefficient])];
      const factors = [...scale, ...factorsOf(monomial).map((factor) => factorValue(l, factor))];
      return factors.reduce((product, factor) => l.o.node("Mul", [product, factor]));
    });
    return terms.reduce((sum, term) => l.o.node("Add", [sum, term]));
  });
}

function factorValue(l: Lowering, factor: string): string {
  const quotient = quotientOf(factor);
  if (quotient === undefined) return nameValue(l, factor);
  // both are at least 0, where Div has no other whole part than ours
  return memo(l, `dim ${factor}`, () =>
    l.o.node("Div", [dimValue(l, quotient.dim), l.o.ints([quotient.by])]),
  );
}

function nameValue(l: Lowering, name: string): string {
  return memo(l, `name ${name}`, () => {
    const { value, axis, less } = l.dims.get(name) ?? internal(`no input shows the dimension "${name}"`);
    const length = l.o.node("Shape", [value], { start: axis, end: axis + 1 });
    return less.reduce<string>((rest, dim) => l.o.node("Sub", [rest, dimValue(l, dim)]), length);
  });
}

/** int64 [rank] holding a shape. */
function shapeValue(l: Lowering, shape: Shape): string {
  if (isFixedShape(shape)) return l.o.ints(shape);
  return memo(l, `shape ${shape}`, () =>
    shape.length === 1
      ? dimValue(l, dimAt(shape, 0))
      : l.o.node(
          "Concat",
          shape.map((d) => dimValue(l, d)),
          { axis: 0 },
        ),
  );
}

function memo(l: Lowering, key: string, make: () => string): string {
  const known = l.memo.get(key);
  if (known !== undefined) return known;
  const made = make();
  l.memo.set(key, made);
  return made;
}

function zeros(l: Lowering, shape: Shape, dtype: DType): string {
  return l.o.node("Expand", [l.o.constant(dtype, [0], []), shapeValue(l, shape)]);
}

const unary =
  (op: string, domain = ""): ((c: Context<UnaryOp>) => string) =>
  ({ o, inputs }) =>
    o.node(op, inputs, {}, domain);
const nary =
  (op: string): ((c: Context<OpName>) => string) =>
  ({ o, inputs }) =>
    o.node(op, inputs);
const reduce =
  (op: string): ((c: Context<"sum" | "mean" | "amax">) => string) =>
  ({ o, node, inputs }) =>
    node.attrs.axes.length === 0
      ? inputs[0]
      : o.node(op, [inputs[0], o.ints(node.attrs.axes)], { keepdims: node.attrs.keepDims ? 1 : 0 });

function reshape({ l, o, node, inputs }: Context<"reshape">): string {
  const from = inputShape(l, node, 0);
  const copies = node.attrs.shape.every((d, i) => typeof d === "number" || from[i] === d);
  if (copies && node.attrs.shape.every((d) => d !== 0)) {
    const target = node.attrs.shape.map((d) => (typeof d === "number" ? d : 0));
    return o.node("Reshape", [inputs[0], o.ints(target)]);
  }
  return o.node("Reshape", [inputs[0], shapeValue(l, node.attrs.shape)], { allowzero: 1 });
}

function inputOf(o: OnnxGraph, { attrs }: { readonly attrs: Ops["input"] }): string {
  return o.input(attrs.name, attrs.dtype, declared(attrs.shape));
}

/**
 * Symbolic shapes are kept from ONNX Runtime: its planner compares each result of known rank with all buffers
 * that were freed before, which takes 80 % of the time that a session of 4700 nodes is made in, and saves no
 * memory that its arena does not.
 */
function declared(shape: Shape): Shape | undefined {
  return shape.every((d) => typeof d === "number") ? shape : undefined;
}

function inputShape(l: Lowering, node: { readonly inputs: readonly number[] }, i: number): Shape {
  return at(l.program.nodes, at(node.inputs, i)).shape;
}

/**
 * Brings the axes that ids replaced to the front, adds rows up by id, and takes the axis back to its place.
 */
function scatterAdd({ l, o, node, inputs }: Context<"scatterAdd">): string {
  const { axis, size } = node.attrs;
  const dyShape = inputShape(l, node, 0);
  const idsRank = inputShape(l, node, 1).length;
  const order = dyShape.map((_, i) => i);
  const front = order.slice(axis, axis + idsRank);
  const rest = [...order.slice(0, axis), ...order.slice(axis + idsRank)];
  const restShape = rest.map((i) => dimAt(dyShape, i));
  const moved = axis === 0 ? inputs[0] : o.node("Transpose", [inputs[0]], { perm: [...front, ...rest] });
  const flat = shapeFrom(l, -1, restShape, moved);
  const ids = o.node("Reshape", [inputs[1], o.ints([-1, 1])]);
  const sums = o.node("ScatterND", [zeros(l, [size, ...restShape], "f32"), ids, flat], { reduction: "add" });
  if (axis === 0) return sums;
  const back = rest.map((_, i) => i + 1);
  return o.node("Transpose", [sums], { perm: [...back.slice(0, axis), 0, ...back.slice(axis)] });
}

/** Only the processor has a kernel that writes in place; elsewhere n is 1, and each place is chosen. */
function writeRows({ l, o, node, inputs }: Context<"writeRows">): string {
  const [x, rows, place] = inputs;
  if (l.device === "cpu") return o.tensorScatter(x, rows, place);
  if (inputShape(l, node, 1)[2] !== 1) return internal("rows are written one by one on this device");
  const [zero, one] = [o.constant("i64", [0], []), o.constant("i64", [1], [])];
  const length = o.node("Squeeze", [dimValue(l, dimAt(node.shape, 2))]);
  const each = o.node("Reshape", [o.node("Range", [zero, length, one]), o.ints([1, 1, -1, 1])]);
  const chosen = o.node("Equal", [each, o.node("Reshape", [place, o.ints([-1, 1, 1, 1])])]);
  return o.node("Where", [chosen, rows, x]);
}

function shapeFrom(l: Lowering, first: number, rest: Shape, value: string): string {
  const target = l.o.node("Concat", [l.o.ints([first]), ...rest.map((d) => dimValue(l, d))], { axis: 0 });
  return l.o.node("Reshape", [value, target]);
}

function matmul({ o, node, inputs }: Context<"matmul">): string {
  const { transA, transB } = node.attrs;
  if (!transA && !transB) return o.node("MatMul", inputs);
  return o.contrib("FusedMatMul", inputs, { transA: transA ? 1 : 0, transB: transB ? 1 : 0 });
}

function linear({ l, o, node, inputs }: Context<"linear">): string {
  const w = l.weights.get(node.inputs[1]);
  if (w?.format.pack !== undefined) {
    const { x, back } = asMatrix(l, inputs[0], inputShape(l, node, 0), node.shape);
    return back(w.format.linear(o, x, w, node.attrs.transposed));
  }
  if (w !== undefined) return w.format.linear(o, inputs[0], w, node.attrs.transposed);
  if (node.attrs.transposed) return o.node("MatMul", inputs);
  return o.contrib("FusedMatMul", inputs, { transB: 1 });
}

/**
 * x [..., n] as a matrix [rows, n], and the way back to `shape`. No rank is told to ONNX Runtime where that
 * can be: see `declared`; of packed rows [1, tokens, n] the shape need not be computed.
 */
function asMatrix(
  l: Lowering,
  x: string,
  from: Shape,
  shape: Shape,
): { x: string; back: (y: string) => string } {
  const { o } = l;
  if (from.length === 2) return { x, back: (y) => y };
  if (from.length === 3 && from[0] === 1)
    return { x: o.once("Squeeze", [x, o.ints([0])]), back: (y) => o.node("Unsqueeze", [y, o.ints([0])]) };
  const back = (y: string): string => o.node("Reshape", [y, shapeValue(l, shape)], { allowzero: 1 });
  return { x: o.once("Flatten", [x], { axis: -1 }), back };
}

function convAttributes(
  { stride, dilation, groups }: Convolves,
  padding: readonly number[],
): Record<string, Attribute> {
  return { strides: stride, dilations: dilation, group: groups, pads: [...padding, ...padding] };
}

/**
 * Along an axis of stride 1 the result has its size by the padding; along others as many places are made as
 * there may be, and those that there are, are cut out.
 */
function convTranspose({ l, o, node, inputs }: Context<"convTranspose">): string {
  const { stride, padding, sizes } = node.attrs;
  const isCut = stride.map((s) => s > 1);
  const pads = padding.map((p, i) => (isCut[i] ? 0 : p));
  const more = { output_padding: stride.map((s) => s - 1) };
  const whole = o.node("ConvTranspose", inputs, { ...convAttributes(node.attrs, pads), ...more });
  const cut = sizes.flatMap((size, i) => (isCut[i] ? [{ size, start: at(padding, i), axis: i + 2 }] : []));
  if (cut.length === 0) return whole;
  const ends = shapeValue(
    l,
    cut.map(({ size, start }) => addDims(size, start)),
  );
  return o.node("Slice", [whole, o.ints(cut.map((c) => c.start)), ends, o.ints(cut.map((c) => c.axis))]);
}

function withResults(
  c: Context<"layerNorm" | "rmsNorm">,
  op: string,
  attributes: Record<string, number | { float: number }>,
): string[] {
  const wanted = c.l.wanted.get(c.index);
  const { further } = opRows[c.node.op];
  const outputs = [0, ...further].map((_, i) => (i === 0 || wanted?.has(i) ? c.o.fresh() : ""));
  while (outputs.at(-1) === "") outputs.pop();
  c.o.nodes(op, c.inputs, attributes, outputs);
  return outputs;
}

export const lowering: Table<{ [K in OpName]: LoweringRule<K> }> = {
  input: ({ o, node }) => inputOf(o, node),
  weight: ({ l, o, index, node }) => {
    l.weights.set(index, l.bind(o, node.attrs.name, node.attrs.shape));
    return [];
  },
  constant: ({ o, node }) => o.constant(node.attrs.dtype, node.attrs.values, node.attrs.shape),
  size: ({ l, o, node }) => {
    const value = o.node("Squeeze", [dimValue(l, node.attrs.dim)]);
    return node.attrs.dtype === "i64" ? value : o.node("Cast", [value], { to: 1 });
  },
  iota: ({ l, o, node }) => {
    const end = o.node("Squeeze", [dimValue(l, node.attrs.dim)]);
    return o.node("Range", [o.constant("i64", [0], []), end, o.constant("i64", [1], [])]);
  },
  random: ({ l, o, node, inputs }) =>
    lowerRandom(o, inputs[0], inputs[1], node.attrs.shape, (shape) => shapeValue(l, shape)),

  neg: unary("Neg"),
  exp: unary("Exp"),
  log: unary("Log"),
  sqrt: unary("Sqrt"),
  abs: unary("Abs"),
  tanh: unary("Tanh"),
  sigmoid: unary("Sigmoid"),
  relu: unary("Relu"),
  erf: unary("Erf"),
  sin: unary("Sin"),
  cos: unary("Cos"),
  gelu: ({ o, node, inputs }) => o.node("Gelu", inputs, { approximate: node.attrs.approximate }),
  silu: ({ o, inputs }) => o.contrib("QuickGelu", inputs, { alpha: { float: 1 } }),
  not: unary("Not"),
  detach: ({ inputs }) => inputs[0],
  cast: ({ o, node, inputs }) =>
    o.node("Cast", inputs, { to: { f32: 1, i64: 7, i32: 6, bool: 9 }[node.attrs.to] }),

  add: nary("Add"),
  sub: nary("Sub"),
  mul: nary("Mul"),
  div: nary("Div"),
  max: nary("Max"),
  min: nary("Min"),
  pow: nary("Pow"),
  equal: nary("Equal"),
  less: nary("Less"),
  and: nary("And"),
  or: nary("Or"),
  where: nary("Where"),

  sum: reduce("ReduceSum"),
  mean: reduce("ReduceMean"),
  amax: reduce("ReduceMax"),
  cumsum: ({ o, node, inputs }) => o.node("CumSum", [inputs[0], o.constant("i64", [node.attrs.axis], [])]),

  reshape,
  transpose: ({ o, node, inputs }) => o.node("Transpose", inputs, { perm: node.attrs.perm }),
  expand: ({ l, o, node, inputs }) => o.node("Expand", [inputs[0], shapeValue(l, node.attrs.shape)]),
  slice: ({ l, o, node, inputs }) =>
    o.node("Slice", [
      inputs[0],
      dimValue(l, node.attrs.start),
      dimValue(l, node.attrs.end),
      o.ints([node.attrs.axis]),
    ]),
  concat: ({ o, node, inputs }) => o.node("Concat", inputs, { axis: node.attrs.axis }),
  pad: ({ l, o, node, inputs }) => {
    const pads = shapeValue(l, [node.attrs.before, node.attrs.after]);
    return o.node("Pad", [inputs[0], pads, o.constant(node.dtype, [0], []), o.ints([node.attrs.axis])]);
  },

  gather: ({ l, o, node, inputs }) => {
    const stored = storedInput("gather", node.attrs);
    const w = l.weights.get(node.inputs[0]);
    if (stored !== undefined && w !== undefined) return w.format.rows(o, w, inputs[1]);
    return o.node("Gather", inputs, { axis: node.attrs.axis });
  },
  scatterAdd,
  moveRows: ({ o, node, inputs }) => {
    const zero = o.constant("i64", [0], []);
    const rows = o.node("Gather", [inputs[0], o.node("Max", [inputs[1], zero])], { axis: 0 });
    if (!node.attrs.fill) return rows;
    const known = o.node("Unsqueeze", [o.node("GreaterOrEqual", [inputs[1], zero]), o.ints([1])]);
    return o.node("Mul", [rows, o.node("Cast", [known], { to: 1 })]);
  },
  gatherLast: ({ o, inputs }) => o.node("GatherElements", inputs, { axis: -1 }),
  scatterLast: ({ l, o, node, inputs }) =>
    o.node("ScatterElements", [zeros(l, node.shape, "f32"), inputs[1], inputs[0]], {
      axis: -1,
      reduction: "add",
    }),

  writeRows,
  topK: ({ l, o, node, inputs }) => {
    const largest = node.attrs.largest ? 1 : 0;
    const attributes = { axis: -1, largest, sorted: 1 };
    return at(o.onceNodes("TopK", [inputs[0], dimValue(l, node.attrs.k)], attributes, 2), 1);
  },

  matmul,
  linear,
  expertLinear: ({ l, o, node, inputs }) => {
    const { transposed } = node.attrs;
    const [x, starts, value] = inputs;
    const shape = inputShape(l, node, 2).map((_, i, all) => lengthAt(all, i));
    const w = l.weights.get(node.inputs[2]) ?? asStack(value, shape, transposed);
    return expertLinear(o, x, starts, w, { transposed, outDim: lengthAt(node.shape, 1) });
  },
  expertOuter: ({ o, node, inputs }) => {
    const [y, x, starts] = inputs;
    const [experts, outDim, inDim] = [0, 1, 2].map((i) => lengthAt(node.shape, i));
    return expertOuter(o, y, x, starts, [experts ?? 0, outDim ?? 0, inDim ?? 0]);
  },
  conv: ({ o, node, inputs }) => o.node("Conv", inputs, convAttributes(node.attrs, node.attrs.padding)),
  convTranspose,
  softmax: ({ o, inputs }) => o.node("Softmax", inputs, { axis: -1 }),
  logSoftmax: ({ o, inputs }) => o.node("LogSoftmax", inputs, { axis: -1 }),
  layerNorm: (c) => withResults(c, "LayerNormalization", { axis: -1, epsilon: { float: c.node.attrs.eps } }),
  rmsNorm: (c) =>
    withResults(c, "SimplifiedLayerNormalization", { axis: -1, epsilon: { float: c.node.attrs.eps } }),
  rotary: ({ o, node, inputs }) => {
    const [x, cos, sin] = inputs;
    const half = lengthAt(node.shape, -1) / 2;
    const table = (y: string): string => o.once("Reshape", [y, o.ints([-1, half])]);
    return o.contrib("RotaryEmbedding", [x, rowNumbers(o, cos), table(cos), table(sin)]);
  },
  crossEntropy: ({ l, o, node, index, inputs }) => {
    const w = l.weights.get(node.inputs[1]) ?? internal("crossEntropy's head is no weight");
    const classes = lengthAt(inputShape(l, node, 1), 0);
    const wanted = new Set(l.wanted.get(index)?.keys());
    return crossEntropyScan(o, inputs[0], w, inputs[2], { ...node.attrs, classes, wanted });
  },
  attentionBias: ({ l, o, node, inputs }) =>
    attentionBias(o, inputs[0], dimValue(l, node.attrs.queries), node.attrs),
  attention: ({ l, o, node, inputs }) => attentionScan(o, inputs, headsOf(l, node), node.attrs),
  attentionGradient: ({ l, o, node, inputs }) =>
    attentionGradientScan(o, inputs, headsOf(l, node), node.attrs),
  ctc: ({ l, o, index, inputs }) => ctcScans(o, inputs, l.wanted.get(index)?.has(1) ?? false),
  aux: ({ l, node }) => at(at(l.values, node.inputs[0]), node.attrs.index),
};

function headsOf(l: Lowering, node: ProgramNode<"attention" | "attentionGradient">): Heads {
  return { heads: lengthAt(node.shape, 1), kvHeads: lengthAt(inputShape(l, node, 1), 1) };
}

/** 0, 1, 2, ... in the shape of a table's rows: [batch, seq], for y [batch, seq, n]. */
function rowNumbers(o: OnnxGraph, y: string): string {
  const shape = o.once("Shape", [y], { end: 2 });
  const count = o.once("ReduceProd", [shape], { keepdims: 0 });
  const [zero, one] = [o.constant("i64", [0], []), o.constant("i64", [1], [])];
  return o.once("Reshape", [o.once("Range", [zero, count, one]), shape]);
}

/** What a program is lowered for. */
export interface Target {
  readonly device: string;
  /** Its first run may ask for a region of the arena. */
  readonly asks: boolean;
}

/** The ONNX model of a program. Throws "engine" where the device cannot run it. */
export function lower(program: Program, bind: BindWeight, { device, asks }: Target): Uint8Array {
  const wanted = furtherResults(program);
  const o = new OnnxGraph();
  const values = program.nodes.map((n) => (isNode(n, "input") ? [inputOf(o, n)] : []));
  const inputs = program.nodes.flatMap((n, i) =>
    isNode(n, "input") ? [{ shape: n.shape, value: firstOf(values, i) }] : [],
  );
  const dims = findDims(inputs);
  const l: Lowering = { o, program, device, values, bind, weights: new Map(), wanted, dims, memo: new Map() };
  for (const [i, n] of program.nodes.entries())
    if (!isNode(n, "input")) l.values[i] = [lowerNode(l, n, i)].flat();
  for (const { name, node } of program.outputs) {
    const { shape, dtype } = at(program.nodes, node);
    o.outputOf(firstResult(l, node), name, dtype, declared(shape));
  }
  if (asks) addRequest(o);
  return o.model();
}

function lowerNode<K extends OpName>(l: Lowering, node: ProgramNode<K>, index: number): string | string[] {
  const rule: LoweringRule<K> = lowering[node.op];
  const stored = storedInput(node.op, node.attrs)?.input;
  const value = (input: number, i: number): string =>
    i === stored && l.weights.has(input) ? "" : firstResult(l, input);
  const results = rule({ l, o: l.o, node, index, inputs: mapInputs(node.inputs, value) });
  if (results !== UNSUPPORTED) return results;
  throw new PeftError("engine", {
    what: `This program cannot run on the device "${l.device}".`,
    why: `it needs "${node.op}", for which there are no kernels on that device.`,
    fix: 'use { device: "cpu" }.',
  });
}

/** A node's first result; a weight is brought to f32 where that is asked for. */
function firstResult(l: Lowering, index: number): string {
  const w = l.weights.get(index);
  if (w !== undefined && at(l.values, index).length === 0) l.values[index] = [w.format.weight(l.o, w)];
  return firstOf(l.values, index);
}

const firstOf = (values: readonly (readonly string[])[], index: number): string => at(at(values, index), 0);
