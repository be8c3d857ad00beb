// Over 400 lines: a method for each primitive.
import { internal } from "../errors.js";
import { fnv1a, unitsOf } from "../hash.js";
import type { Dim, Shape } from "./dims.js";
import { addDims, dimAt, mulDims, sameShape, subDims } from "./dims.js";
import type { Convolves, DType, Inputs, OpName, Ops, Sees, Tensor } from "./ops.js";
import { isOp } from "./ops.js";
import { shapes } from "./shapes.js";

/** One tensor for each size. */
export type Pieces<S> = { -readonly [I in keyof S]: Tensor };

/** A number stands for a scalar of the other operand's dtype. */
export type Operand = Tensor | number;

/** A repeated part of a model: execution plans cut here. */
export interface Block {
  readonly name: string;
  /** What the block changes: each a boundary that a plan may keep. */
  readonly inputs: Readonly<Record<string, Tensor>>;
  /** What many blocks read: an encoder's output, position biases, rotary tables, masks. */
  readonly shared: Readonly<Record<string, Tensor>>;
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** Ids of the tensors made inside: first inclusive, last exclusive. */
  readonly range: readonly [number, number];
}

/**
 * Tensors and operations as data. Nothing is computed here: a method adds one primitive (or a short
 * composition) and returns what it would yield. Equal nodes are one node, and node order is a topological
 * order.
 */
export class Graph {
  readonly nodes: Tensor[] = [];
  readonly blocks: Block[] = [];
  #known: Map<string, Tensor> = new Map();

  add_<K extends OpName>(op: K, attrs: Ops[K], inputs: Inputs<Tensor>[K]): Tensor<K> {
    const key = `${op}(${inputs.map((x) => x.id).join()})${JSON.stringify(attrs, exactly)}`;
    const known = this.#known.get(key);
    if (known !== undefined && isOp(known, op)) return known;
    const { shape, dtype } = shapes[op](attrs, inputs);
    const tensor: Tensor<K> = { id: this.nodes.length, op, attrs, inputs, shape, dtype };
    const node = tensor as Tensor;
    this.nodes.push(node);
    this.#known.set(key, node);
    return tensor;
  }

  /** Writes a repeated part. Inlined; its boundary is recorded for plans. */
  block<I extends Record<string, Tensor>, S extends Record<string, Tensor>, O extends Record<string, Tensor>>(
    name: string,
    inputs: I,
    shared: S,
    body: (inputs: I, shared: S) => O,
  ): O {
    const first = this.nodes.length;
    const outputs = body(inputs, shared);
    this.blocks.push({ name, inputs, shared, outputs, range: [first, this.nodes.length] });
    return outputs;
  }

  // ---- sources
  input(name: string, shape: Shape, dtype: DType = "f32"): Tensor<"input"> {
    return this.add_("input", { name, shape, dtype }, []);
  }
  weight(name: string, shape: readonly number[]): Tensor {
    return this.add_("weight", { name, shape }, []);
  }
  constant(values: readonly number[], shape: readonly number[], dtype: DType = "f32"): Tensor {
    return this.add_("constant", { values, shape, dtype }, []);
  }
  scalar(value: number, dtype: DType = "f32"): Tensor {
    return this.constant([value], [], dtype);
  }
  size(dim: Dim, dtype: DType = "f32"): Tensor {
    return typeof dim === "number" ? this.scalar(dim, dtype) : this.add_("size", { dim, dtype }, []);
  }
  iota(dim: Dim): Tensor {
    return this.add_("iota", { dim }, []);
  }
  random(key: Tensor, site: number, shape: Shape): Tensor {
    return this.add_("random", { shape }, [key, this.scalar(site, "i32")]);
  }
  zeros(shape: Shape, dtype: DType = "f32"): Tensor {
    return this.expand(this.scalar(0, dtype), shape);
  }

  // ---- elementwise
  neg(x: Tensor): Tensor {
    return this.add_("neg", {}, [x]);
  }
  exp(x: Tensor): Tensor {
    return this.add_("exp", {}, [x]);
  }
  log(x: Tensor): Tensor {
    return this.add_("log", {}, [x]);
  }
  sqrt(x: Tensor): Tensor {
    return this.add_("sqrt", {}, [x]);
  }
  abs(x: Tensor): Tensor {
    return this.add_("abs", {}, [x]);
  }
  tanh(x: Tensor): Tensor {
    return this.add_("tanh", {}, [x]);
  }
  sigmoid(x: Tensor): Tensor {
    return this.add_("sigmoid", {}, [x]);
  }
  relu(x: Tensor): Tensor {
    return this.add_("relu", {}, [x]);
  }
  erf(x: Tensor): Tensor {
    return this.add_("erf", {}, [x]);
  }
  sin(x: Tensor): Tensor {
    return this.add_("sin", {}, [x]);
  }
  cos(x: Tensor): Tensor {
    return this.add_("cos", {}, [x]);
  }
  gelu(x: Tensor, approximate: "none" | "tanh" = "none"): Tensor {
    return this.add_("gelu", { approximate }, [x]);
  }
  silu(x: Tensor): Tensor {
    return this.add_("silu", {}, [x]);
  }
  not(x: Tensor): Tensor {
    return this.add_("not", {}, [x]);
  }
  cast(x: Tensor, to: DType): Tensor {
    return x.dtype === to ? x : this.add_("cast", { to }, [x]);
  }
  detach(x: Tensor): Tensor {
    return this.add_("detach", {}, [x]);
  }
  add(x: Operand, y: Operand): Tensor {
    return this.#binary("add", x, y);
  }
  sub(x: Operand, y: Operand): Tensor {
    return this.#binary("sub", x, y);
  }
  mul(x: Operand, y: Operand): Tensor {
    return this.#binary("mul", x, y);
  }
  div(x: Operand, y: Operand): Tensor {
    return this.#binary("div", x, y);
  }
  max(x: Operand, y: Operand): Tensor {
    return this.#binary("max", x, y);
  }
  min(x: Operand, y: Operand): Tensor {
    return this.#binary("min", x, y);
  }
  pow(x: Operand, y: Operand): Tensor {
    return this.#binary("pow", x, y);
  }
  equal(x: Operand, y: Operand): Tensor {
    return this.#binary("equal", x, y);
  }
  less(x: Operand, y: Operand): Tensor {
    return this.#binary("less", x, y);
  }
  lessEqual(x: Operand, y: Operand): Tensor {
    return this.not(this.less(y, x));
  }
  and(x: Tensor, y: Tensor): Tensor {
    return this.add_("and", {}, [x, y]);
  }
  or(x: Tensor, y: Tensor): Tensor {
    return this.add_("or", {}, [x, y]);
  }
  where(condition: Tensor, x: Operand, y: Operand): Tensor {
    const [a, b] = this.#pair(x, y);
    return this.add_("where", {}, [condition, a, b]);
  }
  square(x: Tensor): Tensor {
    return this.mul(x, x);
  }

  // ---- reductions; no axes: all
  sum(x: Tensor, axes?: number | readonly number[], keepDims = false): Tensor {
    return this.add_("sum", { axes: axesOf(x, axes), keepDims }, [x]);
  }
  mean(x: Tensor, axes?: number | readonly number[], keepDims = false): Tensor {
    return this.add_("mean", { axes: axesOf(x, axes), keepDims }, [x]);
  }
  amax(x: Tensor, axes?: number | readonly number[], keepDims = false): Tensor {
    return this.add_("amax", { axes: axesOf(x, axes), keepDims }, [x]);
  }
  cumsum(x: Tensor, axis: number): Tensor {
    return this.add_("cumsum", { axis: axisOf(x, axis) }, [x]);
  }

  // ---- shape
  reshape(x: Tensor, shape: Shape): Tensor {
    return sameShape(x.shape, shape) ? x : this.add_("reshape", { shape }, [x]);
  }
  transpose(x: Tensor, perm: readonly number[]): Tensor {
    return perm.every((p, i) => p === i) ? x : this.add_("transpose", { perm }, [x]);
  }
  expand(x: Tensor, shape: Shape): Tensor {
    return sameShape(x.shape, shape) ? x : this.add_("expand", { shape }, [x]);
  }
  slice(x: Tensor, axis: number, start: Dim, end: Dim): Tensor {
    const at = axisOf(x, axis);
    return start === 0 && end === x.shape[at] ? x : this.add_("slice", { axis: at, start, end }, [x]);
  }
  concat(inputs: readonly Tensor[], axis: number): Tensor {
    const [first, ...others] = inputs;
    if (first === undefined) return internal("a concatenation of nothing");
    if (others.length === 0) return first;
    return this.add_("concat", { axis: axisOf(first, axis) }, [first, ...others]);
  }
  /** Cuts along an axis into pieces of these sizes. */
  split<const S extends readonly Dim[]>(x: Tensor, axis: number, sizes: S): Pieces<S> {
    let start: Dim = 0;
    const pieces = sizes.map((size) => {
      const end = addDims(start, size);
      const piece = this.slice(x, axis, start, end);
      start = end;
      return piece;
    });
    return pieces as Pieces<S>;
  }
  pad(x: Tensor, axis: number, before: Dim, after: Dim): Tensor {
    return before === 0 && after === 0 ? x : this.add_("pad", { axis: axisOf(x, axis), before, after }, [x]);
  }
  unsqueeze(x: Tensor, axis: number): Tensor {
    const at = axis < 0 ? axis + x.shape.length + 1 : axis;
    return this.reshape(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)]);
  }
  squeeze(x: Tensor, axis: number): Tensor {
    const at = axisOf(x, axis);
    return this.reshape(x, [...x.shape.slice(0, at), ...x.shape.slice(at + 1)]);
  }
  /** Merges all axes but the last: [..., n] -> [rows, n]. */
  rows(x: Tensor): Tensor {
    return this.reshape(x, [mulDims(...x.shape.slice(0, -1)), dimAt(x.shape, -1)]);
  }
  /** The last entry along an axis, which stays with length 1. */
  last(x: Tensor, axis: number): Tensor {
    const dim = dimAt(x.shape, axis);
    return this.slice(x, axis, subDims(dim, 1), dim);
  }

  // ---- indexing
  gather(x: Tensor, ids: Tensor, axis = 0): Tensor {
    return this.add_("gather", { axis: axisOf(x, axis) }, [x, ids]);
  }
  scatterAdd(dy: Tensor, ids: Tensor, axis: number, size: Dim): Tensor {
    return this.add_("scatterAdd", { axis, size }, [dy, ids]);
  }
  moveRows(x: Tensor, index: Tensor, inverse: Tensor, fill = false): Tensor {
    return this.add_("moveRows", { fill }, [x, index, inverse]);
  }
  gatherLast(x: Tensor, ids: Tensor): Tensor {
    return this.add_("gatherLast", {}, [x, ids]);
  }
  scatterLast(dy: Tensor, ids: Tensor, size: Dim): Tensor {
    return this.add_("scatterLast", { size }, [dy, ids]);
  }
  writeRows(x: Tensor, rows: Tensor, place: Tensor): Tensor {
    return this.add_("writeRows", {}, [x, rows, place]);
  }
  topK(x: Tensor, k: Dim): Tensor {
    return this.add_("topK", { k, largest: true }, [x]);
  }
  /** Places of x [n] in ascending order. */
  argsort(x: Tensor): Tensor {
    return this.add_("topK", { k: dimAt(x.shape, -1), largest: false }, [x]);
  }

  // ---- products
  matmul(a: Tensor, b: Tensor, options: { transA?: boolean; transB?: boolean } = {}): Tensor {
    return this.add_("matmul", { transA: options.transA ?? false, transB: options.transB ?? false }, [a, b]);
  }
  linear(x: Tensor, w: Tensor, transposed = false): Tensor {
    return this.add_("linear", { transposed }, [x, w]);
  }
  expertLinear(x: Tensor, starts: Tensor, w: Tensor, transposed = false): Tensor {
    return this.add_("expertLinear", { transposed }, [x, starts, w]);
  }
  expertOuter(y: Tensor, x: Tensor, starts: Tensor): Tensor {
    return this.add_("expertOuter", {}, [y, x, starts]);
  }
  conv(x: Tensor, w: Tensor, { stride, padding, dilation, groups }: Convolves): Tensor {
    return this.add_("conv", { stride, padding, dilation, groups }, [x, w]);
  }
  convTranspose(dy: Tensor, w: Tensor, how: Convolves, sizes: Shape): Tensor {
    const { stride, padding, dilation, groups } = how;
    return this.add_("convTranspose", { stride, padding, dilation, groups, sizes }, [dy, w]);
  }

  // ---- compounds
  softmax(x: Tensor): Tensor {
    return this.add_("softmax", {}, [x]);
  }
  logSoftmax(x: Tensor): Tensor {
    return this.add_("logSoftmax", {}, [x]);
  }
  layerNorm(x: Tensor, scale: Tensor, bias: Tensor, eps: number): Tensor {
    return this.add_("layerNorm", { eps }, [x, scale, bias]);
  }
  rmsNorm(x: Tensor, scale: Tensor, eps: number): Tensor {
    return this.add_("rmsNorm", { eps }, [x, scale]);
  }
  rotary(x: Tensor, cos: Tensor, sin: Tensor): Tensor {
    return this.add_("rotary", {}, [x, cos, sin]);
  }
  attentionBias(mask: Tensor, sees: Sees): Tensor {
    return this.add_("attentionBias", sees, [mask]);
  }
  attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, attrs: Ops["attention"]): Tensor {
    return this.add_("attention", attrs, [q, k, v, mask]);
  }
  ctc(emissions: Tensor, skips: Tensor, ends: Tensor, mask: Tensor): Tensor {
    return this.add_("ctc", {}, [emissions, skips, ends, mask]);
  }
  aux(node: Tensor, index: number): Tensor {
    return this.add_("aux", { index }, [node]);
  }

  /**
   * -log softmax(logits)[label], 0 where the label is negative; `smoothing`: that share of it goes to all
   * labels. logits [..., vocab], labels [...] (i64). Where the logits are a frozen head's plain product on
   * [chunks, chunk, hidden], also divided by a number, they are never held whole.
   */
  crossEntropy(logits: Tensor, labels: Tensor, smoothing = 0): Tensor {
    const head = this.#frozenHead(logits);
    if (head !== undefined) return this.add_("crossEntropy", { smoothing }, [...head, labels]);
    const known = this.lessEqual(0, labels);
    const safe = this.where(known, labels, this.scalar(0, "i64"));
    const logs = this.logSoftmax(logits);
    const picked = this.squeeze(this.gatherLast(logs, this.unsqueeze(safe, -1)), -1);
    const each =
      smoothing === 0
        ? picked
        : this.add(this.mul(picked, 1 - smoothing), this.mul(this.mean(logs, -1), smoothing));
    return this.where(known, this.neg(each), 0);
  }

  /** x [chunks, chunk, hidden] and W of a frozen head's plain product; (x W^T) / t is (x / t) W^T. */
  #frozenHead(logits: Tensor): readonly [Tensor, Tensor] | undefined {
    if (isOp(logits, "div") && isOp(logits.inputs[1], "constant") && logits.inputs[1].shape.length === 0) {
      const head = this.#frozenHead(logits.inputs[0]);
      return head && [this.div(head[0], logits.inputs[1]), head[1]];
    }
    if (!isOp(logits, "linear") || logits.shape.length !== 3 || logits.attrs.transposed) return undefined;
    return isOp(logits.inputs[1], "weight") ? logits.inputs : undefined;
  }

  /**
   * Zeroes each element with probability p and scales the rest by 1 / (1 - p). `random`: uniform in [0, 1),
   * of x's shape.
   */
  dropout(x: Tensor, p: number, random: Tensor): Tensor {
    const keep = this.lessEqual(p, random);
    return this.where(keep, this.mul(x, 1 / (1 - p)), 0);
  }

  #pair(x: Operand, y: Operand): [Tensor, Tensor] {
    if (typeof x === "number") {
      if (typeof y === "number") return internal("an operation on two numbers");
      return [this.scalar(x, y.dtype), y];
    }
    return [x, typeof y === "number" ? this.scalar(y, x.dtype) : y];
  }
  #binary(
    op: "add" | "sub" | "mul" | "div" | "max" | "min" | "pow" | "equal" | "less",
    x: Operand,
    y: Operand,
  ): Tensor {
    return this.add_(op, {}, this.#pair(x, y));
  }
}

/**
 * JSON knows neither infinities nor -0: without this, a mask of -Infinity and one of Infinity were one node.
 */
export function exactly(_: string, value: unknown): unknown {
  return typeof value === "number" && (!Number.isFinite(value) || Object.is(value, -0))
    ? `${Object.is(value, -0) ? "-0" : value}`
    : value;
}

function axisOf(x: Tensor, axis: number): number {
  const at = axis < 0 ? axis + x.shape.length : axis;
  if (at < 0 || at >= x.shape.length) internal(`axis ${axis} of [${x.shape}]`);
  return at;
}

function axesOf(x: Tensor, axes: number | readonly number[] | undefined): number[] {
  if (axes === undefined) return x.shape.map((_, i) => i);
  return (typeof axes === "number" ? [axes] : axes).map((a) => axisOf(x, a)).sort((a, b) => a - b);
}

/** FNV-1a of a site's name: the counter that keeps its random numbers apart from every other site's. */
export function siteNumber(site: string): number {
  return fnv1a(unitsOf(site));
}
