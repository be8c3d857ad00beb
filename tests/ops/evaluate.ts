// Over 400 lines: one table, each primitive in f64.
import { type Dim, evalDim } from "../../src/graph/dims.js";
import type { Graph } from "../../src/graph/graph.js";
import {
  type DType,
  isOp,
  MASKED,
  type OpName,
  type Ops,
  type Table,
  type Tensor,
} from "../../src/graph/ops.js";
import {
  at,
  broadcastShapes,
  build,
  count,
  eachIndex,
  map,
  mapRows,
  stridesOf,
  total,
  type Value,
  value,
} from "./arrays.js";
import { conv, convTranspose } from "./convolution.js";
import { ctc } from "./ctc.js";
import { expertLinear, expertOuter } from "./experts.js";
import { uniform } from "./uniform.js";

/** Inputs and weights by name. */
export type Feeds = Readonly<Record<string, Value>>;

interface Context {
  readonly feeds: Feeds;
  readonly dtype: DType;
  readonly dim: (dim: Dim) => number;
  /** All results of the node that is the first input: what `aux` picks from. */
  readonly results: readonly Value[];
}
/** A primitive in f64. Several results where `aux` can ask for them. */
type Evaluate<Attrs> = (attrs: Attrs, inputs: readonly Value[], context: Context) => Value | readonly Value[];

const one =
  (f: (x: number) => number): Evaluate<unknown> =>
  (_, [x]) =>
    map(f, x!);
const two =
  (f: (x: number, y: number) => number): Evaluate<unknown> =>
  (_, [x, y]) =>
    map(f, x!, y!);

/**
 * 2 / sqrt(pi) exp(-x^2) sum over n of 2^n x^(2n + 1) / (2n + 1)!!: all terms of one sign, so exact to f64.
 */
function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = 0;
  for (let n = 0; sum + term !== sum; n++) {
    sum += term;
    term *= (2 * x * x) / (2 * n + 3);
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}
function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}
const geluErf = (x: number): number => (x * (1 + erf(x * Math.SQRT1_2))) / 2;
const geluTanh = (x: number): number =>
  (x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))) / 2;

function reduce(f: (numbers: number[]) => number): Evaluate<Ops["sum"]> {
  return ({ axes, keepDims }, [x]) => {
    const kept = x!.shape.map((d, i) => (axes.includes(i) ? 1 : d));
    const inner = axes.map((a) => x!.shape[a]!);
    const result = build(kept, (index) => {
      const full = [...index];
      return f([
        ...build(inner, (at2) => {
          axes.forEach((axis, i) => {
            full[axis] = at2[i]!;
          });
          return at(x!, full);
        }).data,
      ]);
    });
    return keepDims ? result : { data: result.data, shape: x!.shape.filter((_, i) => !axes.includes(i)) };
  };
}

/** x cut at `axis` into [outer, x.shape[axis], inner]. */
function aroundAxis(shape: readonly number[], axis: number): { outer: number; inner: number } {
  return { outer: count(shape.slice(0, axis)), inner: count(shape.slice(axis + 1)) };
}

function wholeId(id: number, size: number): number {
  if (!Number.isInteger(id) || id < 0 || id >= size) throw new Error(`id ${id} of ${size}`);
  return id;
}

function moveRows({ fill }: Ops["moveRows"], [x, index]: readonly Value[]): Value {
  const width = x!.shape[1]!;
  const rows = Array.from(index!.data, (i) => {
    const row = x!.data.subarray(Math.max(i, 0) * width, (Math.max(i, 0) + 1) * width);
    return i < 0 && fill ? new Float64Array(width) : row;
  });
  const data = new Float64Array(rows.length * width);
  for (const [i, row] of rows.entries()) data.set(row, i * width);
  return { data, shape: [rows.length, width] };
}

function gather({ axis }: Ops["gather"], [x, ids]: readonly Value[]): Value {
  const rank = ids!.shape.length;
  return build([...x!.shape.slice(0, axis), ...ids!.shape, ...x!.shape.slice(axis + 1)], (index) => {
    const id = at(ids!, index.slice(axis, axis + rank));
    return at(x!, [...index.slice(0, axis), wholeId(id, x!.shape[axis]!), ...index.slice(axis + rank)]);
  });
}

function scatterAdd(attrs: Ops["scatterAdd"], [dy, ids]: readonly Value[], { dim }: Context): Value {
  const size = dim(attrs.size);
  const shape = [...dy!.shape.slice(0, attrs.axis), size, ...dy!.shape.slice(attrs.axis + ids!.shape.length)];
  const { outer, inner } = aroundAxis(shape, attrs.axis);
  const data = new Float64Array(count(shape));
  const n = ids!.data.length;
  for (let o = 0; o < outer; o++)
    for (let j = 0; j < n; j++)
      for (let i = 0; i < inner; i++)
        data[(o * size + wholeId(ids!.data[j]!, size)) * inner + i]! += dy!.data[(o * n + j) * inner + i]!;
  return { data, shape };
}

function scatterLast(attrs: Ops["scatterLast"], [dy, ids]: readonly Value[], { dim }: Context): Value {
  const size = dim(attrs.size);
  const width = dy!.shape.at(-1)!;
  return mapRows(dy!, (row, i) => {
    const out = new Float64Array(size);
    row.forEach((d, j) => {
      if (ids!.data.length > 0) out[wholeId(ids!.data[i * width + j]!, size)]! += d;
    });
    return out;
  });
}

function writeRows(_: Ops["writeRows"], [x, rows, place]: readonly Value[]): Value {
  return build(x!.shape, ([b, h, i, d]) => {
    const row = i! - place!.data[b!]!;
    return row >= 0 && row < rows!.shape[2]! ? at(rows!, [b!, h!, row, d!]) : at(x!, [b!, h!, i!, d!]);
  });
}

function concat({ axis }: Ops["concat"], inputs: readonly Value[]): Value {
  const shape = [...inputs[0]!.shape];
  shape[axis] = total(inputs.map((x) => x.shape[axis]!));
  return build(shape, (index) => {
    let position = index[axis]!;
    const from = inputs.find((x) => {
      if (position < x.shape[axis]!) return true;
      position -= x.shape[axis]!;
      return false;
    });
    return at(from!, index.with(axis, position));
  });
}

function pad(attrs: Ops["pad"], [x]: readonly Value[], { dim }: Context): Value {
  const { axis } = attrs;
  const before = dim(attrs.before);
  const size = x!.shape[axis]!;
  return build(x!.shape.with(axis, before + size + dim(attrs.after)), (index) => {
    const position = index[axis]! - before;
    return position < 0 || position >= size ? 0 : x!.data[offsetOf(x!.shape, index.with(axis, position))]!;
  });
}

function offsetOf(shape: readonly number[], index: readonly number[]): number {
  const strides = stridesOf(shape);
  return index.reduce((offset, i, axis) => offset + i * strides[axis]!, 0);
}

function matmul({ transA, transB }: Ops["matmul"], [a, b]: readonly Value[]): Value {
  const swap = (x: Value): Value =>
    build([...x.shape.slice(0, -2), x.shape.at(-1)!, x.shape.at(-2)!], (index) =>
      at(x, [...index.slice(0, -2), index.at(-1)!, index.at(-2)!]),
    );
  const left = transA ? swap(a!) : a!; // [..., m, k]
  const right = transB ? b! : swap(b!); // [..., n, k]
  const [m, n, k] = [left.shape.at(-2)!, right.shape.at(-2)!, left.shape.at(-1)!];
  const batches = (x: Value, size: number): Value =>
    build(x.shape.slice(0, -2), (index) => offsetOf(x.shape.slice(0, -2), index) * size * k);
  const starts = [batches(left, m), batches(right, n)] as const;
  const lead = broadcastShapes(...starts.map((x) => x.shape));
  const data: number[] = [];
  eachIndex(lead, (index) => {
    const [startA, startB] = [at(starts[0], index), at(starts[1], index)];
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let t = 0; t < k; t++) sum += left.data[startA + i * k + t]! * right.data[startB + j * k + t]!;
        data.push(sum);
      }
  });
  return value(data, [...lead, m, n]);
}

function linear({ transposed }: Ops["linear"], [x, w]: readonly Value[]): Value {
  const rows: Value = { data: x!.data, shape: [count(x!.shape.slice(0, -1)), x!.shape.at(-1)!] };
  const y = matmul({ transA: false, transB: !transposed }, [rows, w!]);
  return { data: y.data, shape: [...x!.shape.slice(0, -1), y.shape[1]!] };
}

function topK(attrs: Ops["topK"], [x]: readonly Value[], { dim }: Context): Value {
  const sign = attrs.largest ? -1 : 1;
  return mapRows(x!, (row) => {
    const order = [...row.keys()].sort((a, b) => sign * (row[a]! - row[b]!) || a - b);
    return order.slice(0, dim(attrs.k));
  });
}

function logSoftmaxRow(row: Float64Array): Float64Array {
  const top = Math.max(...row);
  const norm = top + Math.log(total(row.map((x) => Math.exp(x - top))));
  return row.map((x) => x - norm);
}

function layerNorm({ eps }: Ops["layerNorm"], [x, scale, bias]: readonly Value[]): Value[] {
  const mean = mapRows(x!, (row) => [total(row) / row.length]);
  const centred = map((a, b) => a - b, x!, mean);
  const inverse = mapRows(centred, (row) => [1 / Math.sqrt(total(row.map((a) => a * a)) / row.length + eps)]);
  return [map((c, v, s, b) => c * v * s + b, centred, inverse, scale!, bias!), mean, inverse];
}

function rmsNorm({ eps }: Ops["rmsNorm"], [x, scale]: readonly Value[]): Value[] {
  const inverse = mapRows(x!, (row) => [1 / Math.sqrt(total(row.map((a) => a * a)) / row.length + eps)]);
  return [map((a, v, s) => a * v * s, x!, inverse, scale!), inverse];
}

function rotary(_: unknown, [x, cos, sin]: readonly Value[]): Value {
  const half = x!.shape[3]! / 2;
  return build(x!.shape, ([b, h, s, i]) => {
    const isFirst = i! < half;
    const place = [b!, s!, i! % half];
    const other = at(x!, [b!, h!, s!, isFirst ? i! + half : i! - half]);
    const turned = (isFirst ? -1 : 1) * other * at(sin!, place);
    return at(x!, [b!, h!, s!, i!]) * at(cos!, place) + turned;
  });
}

function crossEntropy({ smoothing: s }: Ops["crossEntropy"], [x, w, labels]: readonly Value[]): Value[] {
  const logits = linear({ transposed: false }, [x!, w!]);
  const logs = mapRows(logits, logSoftmaxRow); // [chunks, chunk, vocab]
  const classes = w!.shape[0]!;
  const means = mapRows(logs, (row) => [total(row) / classes]);
  const loss = build(labels!.shape, (index) => {
    const label = at(labels!, index);
    const own = (): number => at(logs, [...index, wholeId(label, classes)]);
    return label < 0 ? 0 : -(1 - s) * own() - s * at(means, [...index, 0]);
  });
  // d loss / d logits = softmax - (1 - s) onehot(label) - s / classes, 0 where ignored
  const byLogits = build(logs.shape, (index) => {
    const label = at(labels!, index.slice(0, -1));
    return label < 0 ? 0 : Math.exp(at(logs, index)) - (index.at(-1) === label ? 1 - s : 0) - s / classes;
  });
  const rowAt = (x: Value, index: readonly number[]): number[] =>
    Array.from({ length: classes }, (_, i) => at(x, [...index, i]));
  const ofLogs = (f: (logs: number[]) => number): Value =>
    build(labels!.shape, (index) => f(rowAt(logs, index)));
  return [
    loss,
    linear({ transposed: true }, [byLogits, w!]),
    ofLogs((row) => -total(row.map((l) => Math.exp(l) * l))),
    build(labels!.shape, (index) => total(rowAt(logits, index)) / classes),
    ofLogs((row) => Math.log(total(row.map((l) => Math.exp(2 * l))))),
    build(labels!.shape, (index) => {
      const row = rowAt(logits, index);
      return row.indexOf(Math.max(...row)) === at(labels!, index) ? 1 : 0;
    }),
  ];
}

/** [batch, 1, queries or 1, keys] */
function attentionBias(
  { queries, causal, window }: Ops["attentionBias"],
  [mask]: readonly Value[],
  { dim }: Context,
): Value {
  const [batch, keys] = [mask!.shape[0]!, mask!.shape[1]!];
  const past = keys - dim(queries);
  return build([batch, 1, causal ? dim(queries) : 1, keys], ([b, , i, j]) => {
    const key = at(mask!, [b!, j!]);
    if (!causal) return key > 0 ? 0 : MASKED;
    const own = past + i!;
    const seen = j! <= own && own - j! < (window ?? keys) && key === Math.max(1, at(mask!, [b!, own]));
    return seen ? 0 : MASKED;
  });
}

/**
 * Its scores, capped, and its weights, [batch, heads, queries, keys]; keys and values as if each head had its
 * own.
 */
function attended(attrs: Ops["attention"], [q, k, v, mask]: readonly Value[], c: Context) {
  const group = q!.shape[1]! / k!.shape[1]!;
  const own = (x: Value): Value =>
    build(x.shape.with(1, q!.shape[1]!), (index) => at(x, index.with(1, Math.floor(index[1]! / group))));
  const [keys, values] = [own(k!), own(v!)];
  const raw = map((x) => attrs.scale * x, matmul({ transA: false, transB: true }, [q!, keys]));
  const scores = map((x) => (attrs.cap === undefined ? x : attrs.cap * Math.tanh(x / attrs.cap)), raw);
  const bias = attentionBias(attrs, [mask!], c);
  const masked = build(scores.shape, (index) => at(scores, index) + at(bias, index.with(1, 0)));
  return { keys, values, scores, weights: mapRows(masked, (row) => logSoftmaxRow(row).map(Math.exp)), group };
}

function attention(attrs: Ops["attention"], inputs: readonly Value[], c: Context): Value {
  const { weights, values } = attended(attrs, inputs, c);
  return matmul({ transA: false, transB: false }, [weights, values]);
}

function attentionGradient(attrs: Ops["attention"], inputs: readonly Value[], c: Context): Value[] {
  const [q, k, , , dy] = inputs;
  const { keys, values, scores, weights, group } = attended(attrs, inputs, c);
  const dp = matmul({ transA: false, transB: true }, [dy!, values]);
  const sums = mapRows(
    map((p, d) => p * d, weights, dp),
    (row) => [total(row)],
  );
  const slope = (y: number): number => (attrs.cap === undefined ? 1 : 1 - (y / attrs.cap) ** 2);
  const ds = map((p, d, s, y) => attrs.scale * p * (d - s) * slope(y), weights, dp, sums, scores);
  // each head of keys serves a group
  const summed = (x: Value): Value =>
    build(k!.shape, (index) =>
      total(Float64Array.from({ length: group }, (_, i) => at(x, index.with(1, index[1]! * group + i)))),
    );
  return [
    matmul({ transA: false, transB: false }, [ds, keys]),
    summed(matmul({ transA: true, transB: false }, [ds, q!])),
    summed(matmul({ transA: true, transB: false }, [weights, dy!])),
  ];
}

function cast({ to }: Ops["cast"], [x]: readonly Value[]): Value {
  if (to === "bool") return map((a) => (a === 0 ? 0 : 1), x!);
  return to === "f32" ? x! : map(Math.trunc, x!);
}

function feed({ name }: { name: string }, _: unknown, { feeds }: Context): Value {
  const given = feeds[name];
  if (given === undefined) throw new Error(`nothing feeds "${name}"`);
  return given;
}

export const evaluators: Table<{ [K in OpName]: Evaluate<Ops[K]> }> = {
  input: feed,
  weight: feed,
  constant: ({ values, shape }) => value(values, shape),
  size: (attrs, _, { dim }) => value([dim(attrs.dim)], []),
  iota: (attrs, _, { dim }) => build([dim(attrs.dim)], ([i]) => i!),
  random: ({ shape }, [key, site], { dim }) => {
    const sizes = shape.map(dim);
    return build(sizes, (index) => {
      const inRow = offsetOf(sizes.slice(1), index.slice(1));
      return uniform(key!.data[index[0]!]!, site!.data[0]!, inRow);
    });
  },

  neg: one((x) => -x),
  exp: one(Math.exp),
  log: one(Math.log),
  sqrt: one(Math.sqrt),
  abs: one(Math.abs),
  tanh: one(Math.tanh),
  sigmoid: one(sigmoid),
  relu: one((x) => Math.max(x, 0)),
  erf: one(erf),
  sin: one(Math.sin),
  cos: one(Math.cos),
  gelu: ({ approximate }, [x]) => map(approximate === "none" ? geluErf : geluTanh, x!),
  silu: one((x) => x * sigmoid(x)),
  not: one((x) => 1 - x),
  cast,
  detach: one((x) => x),

  add: two((x, y) => x + y),
  sub: two((x, y) => x - y),
  mul: two((x, y) => x * y),
  div: (_, [x, y], { dtype }) => map((a, b) => (dtype === "f32" ? a / b : Math.trunc(a / b)), x!, y!),
  max: two(Math.max),
  min: two(Math.min),
  pow: two((x, y) => x ** y),
  equal: two((x, y) => (x === y ? 1 : 0)),
  less: two((x, y) => (x < y ? 1 : 0)),
  and: two((x, y) => x * y),
  or: two(Math.max),
  where: (_, [c, x, y]) => map((condition, a, b) => (condition === 0 ? b : a), c!, x!, y!),

  sum: reduce(total),
  mean: reduce((numbers) => total(numbers) / numbers.length),
  amax: reduce((numbers) => Math.max(...numbers)),
  cumsum: ({ axis }, [x]) =>
    build(x!.shape, (index) =>
      total(Array.from({ length: index[axis]! + 1 }, (_, i) => at(x!, index.with(axis, i)))),
    ),

  reshape: ({ shape }, [x], { dim }) => value(x!.data, shape.map(dim)),
  transpose: ({ perm }, [x]) =>
    build(
      perm.map((i) => x!.shape[i]!),
      (index) =>
        at(
          x!,
          perm.map((_, i) => index[perm.indexOf(i)]!),
        ),
    ),
  expand: ({ shape }, [x], { dim }) => build(shape.map(dim), (index) => at(x!, index)),
  slice: ({ axis, start, end }, [x], { dim }) =>
    build(x!.shape.with(axis, dim(end) - dim(start)), (index) =>
      at(x!, index.with(axis, index[axis]! + dim(start))),
    ),
  concat,
  pad,

  gather,
  scatterAdd,
  moveRows,
  gatherLast: (_, [x, ids]) =>
    build(ids!.shape, (index) => at(x!, [...index.slice(0, -1), wholeId(at(ids!, index), x!.shape.at(-1)!)])),
  scatterLast,
  writeRows,

  topK,

  matmul,
  linear,
  expertLinear,
  expertOuter,
  conv,
  convTranspose: (attrs, [dy, w], { dim }) => convTranspose(attrs, dy!, w!, attrs.sizes.map(dim)),

  softmax: (_, [x]) => mapRows(x!, (row) => logSoftmaxRow(row).map(Math.exp)),
  logSoftmax: (_, [x]) => mapRows(x!, logSoftmaxRow),
  layerNorm,
  rmsNorm,
  rotary,
  crossEntropy,
  attentionBias,
  attention,
  attentionGradient,
  ctc: (_, inputs) => ctc(inputs),
  aux: ({ index }, _, { results }) => results[index]!,
};

/** The numbers behind the names in a graph's dimensions, read off what is fed. */
export function bindDims(g: Graph, feeds: Feeds): Map<string, number> {
  const names = new Map<string, number>();
  for (const x of g.nodes)
    if (isOp(x, "input"))
      x.attrs.shape.forEach((dim, i) => {
        const size = feeds[x.attrs.name]?.shape[i];
        if (typeof dim === "string" && /^[A-Za-z]\w*$/.test(dim) && size !== undefined) names.set(dim, size);
      });
  return names;
}

/** Evaluates tensors of a graph in f64, with the dimensions' names bound by the shapes of what is fed. */
export function evaluate(g: Graph, outputs: readonly Tensor[], feeds: Feeds): Value[] {
  const names = bindDims(g, feeds);
  const dim = (d: Dim): number => evalDim(d, names);
  const results = new Map<number, readonly Value[]>();
  for (const x of ancestors(outputs)) {
    const inputs = x.inputs.map((input) => results.get(input.id)![0]!);
    const context = { feeds, dtype: x.dtype, dim, results: results.get(x.inputs[0]?.id ?? -1) ?? [] };
    const result = evaluateNode(x, inputs, context);
    results.set(x.id, "data" in result ? [result] : result);
  }
  return outputs.map((x) => results.get(x.id)![0]!);
}

function evaluateNode<K extends OpName>(
  x: Tensor<K>,
  inputs: readonly Value[],
  context: Context,
): Value | readonly Value[] {
  return evaluators[x.op](x.attrs, inputs, context);
}

/** What the tensors are made of and themselves, each once, inputs first. */
function ancestors(outputs: readonly Tensor[]): Tensor[] {
  const known = new Map<number, Tensor>();
  const stack = [...outputs];
  for (let x = stack.pop(); x !== undefined; x = stack.pop()) {
    if (known.has(x.id)) continue;
    known.set(x.id, x);
    stack.push(...x.inputs);
  }
  return [...known.values()].sort((a, b) => a.id - b.id);
}
