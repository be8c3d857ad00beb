import type { Ops, Sees } from "../../graph/ops.js";
import { MASKED } from "../../graph/ops.js";
import { OnnxGraph } from "./onnx.js";

export interface Heads {
  readonly heads: number;
  readonly kvHeads: number;
}

/** Attributes of `attention` and `attentionGradient`. */
type Attends = Ops["attention"];

/** What queries see of keys, as numbers in a graph: each int64 [1], but for the masks. */
interface Seen {
  /** [batch, keys that are seen] */
  readonly mask: string;
  /** [batch, queries] */
  readonly queryMask: string;
  /** Where the first query and the first key stand, and the keys end. */
  readonly query: string;
  readonly key: string;
  readonly end: string;
  readonly queries: string;
}

/** Numbers from `first` on, as many as there are up to `end` (both int64 [1]): int64 [end - first]. */
function range(b: OnnxGraph, first: string, end: string): string {
  const scalar = (x: string): string => b.node("Squeeze", [x]);
  return b.node("Range", [scalar(first), scalar(end), b.constant("i64", [1], [])]);
}

/** 0 where a query sees a key, else MASKED: [batch, 1, queries or 1, keys]. */
function biasOf(b: OnnxGraph, { causal, window }: Omit<Sees, "queries">, s: Seen): string {
  const keyMask = b.node("Unsqueeze", [s.mask, b.ints([1])]); // [batch, 1, keys]
  const choose = (seen: string): string =>
    b.node("Unsqueeze", [
      b.node("Where", [seen, b.constant("f32", [0], []), b.constant("f32", [MASKED], [])]),
      b.ints([1]),
    ]);
  if (!causal) return choose(b.node("Greater", [keyMask, b.constant("i64", [0], [])]));
  const end = b.node("Add", [s.query, s.queries]);
  const at = b.node("Unsqueeze", [range(b, s.query, end), b.ints([1])]); // [queries, 1]
  const key = range(b, s.key, s.end);
  let seen = b.node("LessOrEqual", [key, at]);
  if (window !== undefined)
    seen = b.node("And", [seen, b.node("Less", [b.node("Sub", [at, key]), b.constant("i64", [window], [])])]);
  // padding asks as document 1, so that its numbers are finite, and those of a batch without documents
  const asked = b.node("Max", [b.node("Unsqueeze", [s.queryMask, b.ints([2])]), b.constant("i64", [1], [])]);
  return choose(b.node("And", [seen, b.node("Equal", [asked, keyMask])]));
}

/** `attentionBias` of whole sequences. `queries`: how many, int64 [1]. */
export function attentionBias(o: OnnxGraph, mask: string, queries: string, sees: Sees): string {
  const end = o.node("Shape", [mask], { start: 1, end: 2 });
  const query = o.node("Sub", [end, queries]);
  const queryMask = sees.causal ? o.node("Slice", [mask, query, end, o.ints([1])]) : mask;
  return biasOf(o, sees, { mask, queryMask, query, key: o.ints([0]), end, queries });
}

/** How queries are cut into chunks of one size, the last filled up with zeros. */
class Chunks {
  readonly #o: OnnxGraph;
  readonly #size: number;
  readonly count: string;
  readonly #queries: string;
  readonly #fill: string;
  readonly #end: string;

  constructor(o: OnnxGraph, q: string, mask: string, size: number) {
    this.#o = o;
    this.#size = size;
    this.#queries = o.node("Shape", [q], { start: 2, end: 3 });
    this.#end = o.node("Shape", [mask], { start: 1, end: 2 });
    this.count = o.node("Div", [o.node("Add", [this.#queries, o.ints([size - 1])]), o.ints([size])]);
    this.#fill = o.node("Sub", [o.node("Mul", [this.count, o.ints([size])]), this.#queries]);
  }

  /** What each chunk reads: its number, and where that matters its queries' mask. */
  scanned(mask: string, causal: boolean): string[] {
    const numbers = range(this.#o, this.#o.ints([0]), this.count);
    return causal ? [numbers, this.#cutMask(mask)] : [numbers];
  }

  /** Where queries begin among the keys, int64 [1]. */
  past(): string {
    return this.#o.node("Sub", [this.#end, this.#queries]);
  }

  #filled(x: string, axis: number, element: "f32" | "i64"): string {
    const pads = this.#o.node("Concat", [this.#o.ints([0]), this.#fill], { axis: 0 });
    return this.#o.node("Pad", [x, pads, this.#o.constant(element, [0], []), this.#o.ints([axis])]);
  }

  /** x [batch, heads, queries, dim] -> [chunks, batch, heads, chunk, dim] */
  cut(x: string): string {
    const o = this.#o;
    const dim = o.node("Shape", [x], { start: 3, end: 4 });
    const shape = o.node("Concat", [o.ints([0, 0, -1, this.#size]), dim], { axis: 0 });
    const parts = o.node("Reshape", [this.#filled(x, 2, "f32"), shape]);
    return o.node("Transpose", [parts], { perm: [2, 0, 1, 3, 4] });
  }

  /** mask [batch, keys] of the queries -> [chunks, batch, chunk] */
  #cutMask(mask: string): string {
    const o = this.#o;
    const own = o.node("Slice", [mask, this.past(), this.#end, o.ints([1])]);
    const parts = o.node("Reshape", [this.#filled(own, 1, "i64"), o.ints([0, -1, this.#size])]);
    return o.node("Transpose", [parts], { perm: [1, 0, 2] });
  }

  /** Back to [batch, heads, queries, dim]. */
  join(parts: string): string {
    const o = this.#o;
    const order = o.node("Transpose", [parts], { perm: [1, 2, 0, 3, 4] });
    const dim = o.node("Shape", [parts], { start: 4, end: 5 });
    const shape = o.node("Concat", [o.ints([0, 0, -1]), dim], { axis: 0 });
    const whole = o.node("Reshape", [order, shape]);
    return o.node("Slice", [whole, o.ints([0]), this.#queries, o.ints([2])]);
  }
}

/** One chunk's queries and the keys that they see. */
class Chunk {
  readonly b: OnnxGraph = new OnnxGraph("s");
  readonly #attrs: Attends;
  readonly #heads: Heads;
  readonly #seen: Seen;
  readonly #allKeys: string;

  /**
   * `past`: where queries begin; `mask`: of all keys, both from the graph around. `sums`: what adds up over
   * the chunks.
   */
  constructor(attrs: Attends, heads: Heads, past: string, mask: string, sums: readonly string[] = []) {
    const { b } = this;
    for (const sum of sums) b.input(sum, "f32", ["rows", "heads", "keys", "width"]);
    this.#attrs = attrs;
    this.#heads = heads;
    const number = b.input("scan_number", "i64", []);
    const queryMask = attrs.causal ? b.input("scan_mask", "i64", undefined) : mask;
    const size = b.ints([attrs.chunk]);
    const offset = b.node("Mul", [b.node("Unsqueeze", [number, b.ints([0])]), size]);
    const query = b.node("Add", [past, offset]);
    this.#allKeys = b.node("Shape", [mask], { start: 1, end: 2 });
    const end = attrs.causal ? b.node("Min", [b.node("Add", [query, size]), this.#allKeys]) : this.#allKeys;
    const first = (window: number): string =>
      b.node("Max", [b.node("Sub", [query, b.ints([window - 1])]), b.ints([0])]);
    const key = attrs.causal && attrs.window !== undefined ? first(attrs.window) : b.ints([0]);
    const part = attrs.causal ? b.node("Slice", [mask, key, end, b.ints([1])]) : mask;
    this.#seen = { mask: part, queryMask, query, key, end, queries: size };
  }

  /** x [batch, kvHeads, keys, dim]: what this chunk sees of it. */
  part(x: string): string {
    if (!this.#attrs.causal) return x;
    return this.b.node("Slice", [x, this.#seen.key, this.#seen.end, this.b.ints([2])]);
  }

  /** The same with zeros for the keys that it does not see. */
  spread(x: string): string {
    const { b } = this;
    if (!this.#attrs.causal) return x;
    const behind = b.node("Sub", [this.#allKeys, this.#seen.end]);
    const pads = b.node("Concat", [this.#seen.key, behind], { axis: 0 });
    return b.node("Pad", [x, pads, b.constant("f32", [0], []), b.ints([2])]);
  }

  /** x [batch, heads, chunk, n] -> [batch, kvHeads, heads / kvHeads chunk, n]: a group shares its keys. */
  grouped(x: string): string {
    const { heads, kvHeads } = this.#heads;
    if (heads === kvHeads) return x;
    const group = (heads / kvHeads) * this.#attrs.chunk;
    return this.b.node("Reshape", [x, this.b.ints([0, kvHeads, group, -1])]);
  }

  /** And back. */
  single(x: string): string {
    const { heads, kvHeads } = this.#heads;
    if (heads === kvHeads) return x;
    return this.b.node("Reshape", [x, this.b.ints([0, heads, this.#attrs.chunk, -1])]);
  }

  output(name: string, value: string): void {
    this.b.nodes("Identity", [value], {}, [name]);
    this.b.output(name, "f32", ["rows", "heads", name, "width"]);
  }

  product(x: string, y: string, options: { transA?: 1; transB?: 1; scaled?: boolean }): string {
    const { scaled = false, ...trans } = options;
    const alpha = scaled ? { alpha: { float: this.#attrs.scale } } : {};
    return this.b.contrib("FusedMatMul", [x, y], { ...trans, ...alpha });
  }

  /** Scores of grouped queries before the mask, and their softmax behind it, both grouped. */
  weights(q: string, keys: string): { scores: string; weights: string } {
    const { b } = this;
    const { cap } = this.#attrs;
    const raw = this.product(q, keys, { transB: 1, scaled: true });
    const scores = cap === undefined ? raw : this.#capped(raw, cap);
    const masked = b.node("Add", [this.single(scores), biasOf(b, this.#attrs, this.#seen)]);
    return { scores, weights: this.grouped(b.node("Softmax", [masked], { axis: -1 })) };
  }

  #capped(x: string, cap: number): string {
    const { b } = this;
    const inside = b.node("Tanh", [b.node("Mul", [x, b.constant("f32", [1 / cap], [])])]);
    return b.node("Mul", [inside, b.constant("f32", [cap], [])]);
  }

  /** d scores from d of their softmax p: p (dp - sum(p dp)), and through the cap. */
  byScores(dp: string, p: string, scores: string): string {
    const { b } = this;
    const { cap } = this.#attrs;
    const each = b.node("Mul", [p, dp]);
    const sum = b.node("ReduceSum", [each, b.ints([-1])], { keepdims: 1 });
    const ds = b.node("Sub", [each, b.node("Mul", [p, sum])]);
    if (cap === undefined) return ds;
    // y = cap tanh(x / cap): dx = dy (1 - (y / cap)^2)
    const y = b.node("Mul", [scores, b.constant("f32", [1 / cap], [])]);
    return b.node("Mul", [ds, b.node("Sub", [b.constant("f32", [1], []), b.node("Mul", [y, y])])]);
  }
}

/** `attention`, a chunk of queries after another; causal ones see only the keys up to their own. */
export function attentionScan(
  o: OnnxGraph,
  [q, k, v, mask]: readonly [string, string, string, string],
  heads: Heads,
  attrs: Attends,
): string {
  const chunks = new Chunks(o, q, mask, attrs.chunk);
  const c = new Chunk(attrs, heads, chunks.past(), mask);
  const own = c.grouped(c.b.input("scan_q", "f32", undefined));
  const { weights } = c.weights(own, c.part(k));
  c.output("scan_y", c.single(c.product(weights, c.part(v), {})));
  const scanned = [...chunks.scanned(mask, attrs.causal), chunks.cut(q)];
  return chunks.join(o.node("Scan", scanned, { num_scan_inputs: scanned.length, body: { graph: c.b } }));
}

/** `attentionGradient`: dq, dk, dv. Gradients of keys and values add up over the chunks. */
export function attentionGradientScan(
  o: OnnxGraph,
  [q, k, v, mask, dy]: readonly [string, string, string, string, string],
  heads: Heads,
  attrs: Attends,
): string[] {
  const chunks = new Chunks(o, q, mask, attrs.chunk);
  const c = new Chunk(attrs, heads, chunks.past(), mask, ["scan_dk", "scan_dv"]);
  const { b } = c;
  const own = c.grouped(b.input("scan_q", "f32", undefined));
  const back = c.grouped(b.input("scan_dy", "f32", undefined));
  const [keys, values] = [c.part(k), c.part(v)];
  const { scores, weights } = c.weights(own, keys);
  const ds = c.byScores(c.product(back, values, { transB: 1 }), weights, scores);
  const dk = c.spread(c.product(ds, own, { transA: 1, scaled: true }));
  const dv = c.spread(c.product(weights, back, { transA: 1 }));
  c.output("scan_dk_sum", b.node("Add", [dk, "scan_dk"]));
  c.output("scan_dv_sum", b.node("Add", [dv, "scan_dv"]));
  c.output("scan_dq", c.single(c.product(ds, keys, { scaled: true })));
  const zeros = (x: string): string => o.node("Expand", [o.constant("f32", [0], []), o.node("Shape", [x])]);
  const scanned = [...chunks.scanned(mask, attrs.causal), chunks.cut(q), chunks.cut(dy)];
  const [sumK, sumV, parts] = [o.fresh(), o.fresh(), o.fresh()];
  const attributes = { num_scan_inputs: scanned.length, body: { graph: b } };
  o.nodes("Scan", [zeros(k), zeros(v), ...scanned], attributes, [sumK, sumV, parts]);
  return [chunks.join(parts), sumK, sumV];
}
