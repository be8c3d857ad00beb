import type { Dim } from "../../graph/dims.js";
import { axes, dimAt, lengthAt, mulDims } from "../../graph/dims.js";
import type { Graph } from "../../graph/graph.js";
import type { KeyValue, Module } from "../../graph/module.js";
import type { Tensor } from "../../graph/ops.js";
import { isOp, MASKED } from "../../graph/ops.js";

export { MASKED };

/** x [batch, seq, heads * headDim], packed or not -> [batch, heads, seq, headDim] */
export function splitHeads(w: Module, x: Tensor, heads: number, headDim: number): Tensor {
  const g = w.g;
  const whole = w.unpack(x);
  const [batch, seq] = axes(whole.shape, 3);
  return g.transpose(g.reshape(whole, [batch, seq, heads, headDim]), [0, 2, 1, 3]);
}

/** x [batch, seq, heads * (q, k, v) * headDim], packed or not: q, k, v of one head side by side. */
export function splitFused(w: Module, x: Tensor, heads: number, headDim: number): KeyValue & { q: Tensor } {
  const [q, k, v] = w.g.split(splitHeads(w, x, heads, 3 * headDim), -1, [headDim, headDim, headDim]);
  return { q, k, v };
}

/** x [batch, heads, seq, headDim] -> [batch, seq, heads * headDim] */
export function mergeHeads(g: Graph, x: Tensor): Tensor {
  const [batch, heads, seq, headDim] = axes(x.shape, 4);
  return g.reshape(g.transpose(x, [0, 2, 1, 3]), [batch, seq, mulDims(heads, headDim)]);
}

/** The past with new keys and values: behind it along their length, or where it has room for them. */
export function withPast(g: Graph, now: KeyValue, past: KeyValue | undefined): KeyValue {
  if (past === undefined) return now;
  const { place } = past;
  if (place !== undefined) {
    const [k, v] = [g.writeRows(past.k, now.k, place), g.writeRows(past.v, now.v, place)];
    return { k, v, parts: { past, place, now } };
  }
  return { k: g.concat([past.k, now.k], 2), v: g.concat([past.v, now.v], 2) };
}

/** mask [batch, keys] (i64) -> what is added to scores, [batch, 1, 1, keys]. */
export function paddingBias(g: Graph, mask: Tensor): Tensor {
  return g.attentionBias(mask, { queries: dimAt(mask.shape, 1), causal: false, window: undefined });
}

/**
 * Where the queries begin among the keys, i64 []: they are the last ones. A single query is the last token of
 * the mask, behind which a cache may have room.
 */
export function firstQuery(g: Graph, mask: Tensor, queries: Dim): Tensor {
  const keys = dimAt(mask.shape, 1);
  if (queries === 1) return g.amax(g.mul(g.iota(keys), g.min(mask, 1)));
  return g.sub(g.size(keys, "i64"), g.size(queries, "i64"));
}

/**
 * Bias of causal attention with padding, [batch, 1, queries, keys]: a query at i sees keys up to i + past,
 * and of these only the last `window` where one is given. Where a mask's numbers are those of documents (1,
 * 2, ...), a query sees its own document. A single query sees all that its mask has.
 */
export function causalBias(g: Graph, mask: Tensor, queries: Dim, window?: number): Tensor {
  if (queries !== 1) return g.attentionBias(mask, { queries, causal: true, window });
  const oldest = window === undefined ? undefined : g.sub(firstQuery(g, mask, 1), window);
  const isNear = oldest && g.less(oldest, g.iota(dimAt(mask.shape, 1)));
  const seen = isNear === undefined ? mask : g.where(isNear, mask, 0);
  return g.attentionBias(seen, { queries, causal: false, window: undefined });
}

/**
 * Bias of attention to both sides with padding, [batch, 1, queries, keys]: a query sees keys up to `reach`
 * tokens away. The queries are the last of the keys.
 */
export function windowBias(g: Graph, mask: Tensor, queries: Dim, reach: number): Tensor {
  const [batch, keys] = axes(mask.shape, 2);
  const at = g.unsqueeze(g.add(g.iota(queries), firstQuery(g, mask, queries)), 1); // [queries, 1]
  const away = g.abs(g.cast(g.sub(g.unsqueeze(g.iota(keys), 0), at), "f32")); // [queries, keys]
  const real = g.reshape(g.less(0, mask), [batch, 1, 1, keys]);
  return g.where(g.and(g.less(away, reach + 0.5), real), g.scalar(0), MASKED);
}

/** limit tanh(x / limit), within -limit to limit. */
export function cap(g: Graph, x: Tensor, limit: number): Tensor {
  return g.mul(g.tanh(g.mul(x, 1 / limit)), limit);
}

/** How heads attend. */
export interface AttendOptions {
  readonly scale: number;
  readonly cap?: number | undefined;
  readonly bias: Tensor | undefined;
  readonly dropout: number;
  /** What methods add to the heads' results. */
  readonly beside?: Tensor | undefined;
  /** A score for each head, [heads], that takes its part of the softmax and brings no value. */
  readonly sinks?: Tensor | undefined;
}

/**
 * softmax(scale q k^T + bias) v, heads merged: [batch, queries, heads * headDim], packed where the trace
 * packs.
 * `cap`: scores stay within -cap to cap before the bias.
 * q [batch, heads, queries, headDim], k v [batch, kvHeads, keys, headDim] with heads a multiple of kvHeads,
 * each serving its group.
 */
export function attend(w: Module, q: Tensor, kv: KeyValue, options: AttendOptions): Tensor {
  const whole = inChunks(w, q, kv, options) ?? atOnce(w, q, kv, options);
  const all = options.beside === undefined ? whole : w.g.add(whole, options.beside);
  return w.pack(mergeHeads(w.g, all));
}

/** Queries that are together in a chunk: their scores stay in the processor's cache. */
const CHUNK = 64;

/** Heads' results chunk by chunk, where the trace wants that and nothing but a mask is added to scores. */
function inChunks(w: Module, q: Tensor, { k, v }: KeyValue, options: AttendOptions): Tensor | undefined {
  const { bias, scale, cap: limit } = options;
  const isPlain = bias !== undefined && isOp(bias, "attentionBias") && options.sinks === undefined;
  if (!isPlain || !w.trace.inChunks(options.dropout)) return undefined;
  const attrs = { ...bias.attrs, queries: dimAt(q.shape, 2), scale, cap: limit, chunk: CHUNK };
  return w.g.attention(q, k, v, bias.inputs[0], attrs);
}

/** Heads' results with all scores at once, [batch, heads, queries, headDim]. */
function atOnce(w: Module, q: Tensor, kv: KeyValue, options: AttendOptions): Tensor {
  const g = w.g;
  const { k, v } = kv.parts?.past ?? kv;
  const [batch, , queries, headDim] = axes(q.shape, 4);
  const keys = dimAt(k.shape, 2);
  const [heads, kvHeads] = [lengthAt(q.shape, 1), lengthAt(k.shape, 1)];
  const grouped = [batch, kvHeads, mulDims(heads / kvHeads, queries)];
  const flat = kvHeads === heads ? q : g.reshape(q, [...grouped, headDim]);
  const raw = withNow(g, options.scale === 1 ? flat : g.mul(flat, options.scale), k, kv.parts);
  const product = options.cap === undefined ? raw : cap(g, raw, options.cap);
  let scores = kvHeads === heads ? product : g.reshape(product, [batch, heads, queries, keys]);
  if (options.bias !== undefined) scores = g.add(scores, options.bias);
  const shares = options.sinks === undefined ? g.softmax(scores) : sunken(g, scores, options.sinks);
  const all = w.padded.dropout("attention", shares, options.dropout);
  const weights = kvHeads === heads ? all : g.reshape(all, [...grouped, keys]);
  const mixed = mixedWithNow(g, weights, v, kv.parts);
  return kvHeads === heads ? mixed : g.reshape(mixed, [batch, heads, queries, headDim]);
}

/**
 * Scores q k^T, [batch, kvHeads, group, keys]; those of a token for which the past has room stand in its
 * place.
 */
function withNow(g: Graph, q: Tensor, k: Tensor, parts: KeyValue["parts"]): Tensor {
  const scores = g.matmul(q, k, { transB: true });
  if (parts === undefined) return scores;
  const own = g.matmul(q, parts.now.k, { transB: true }); // [batch, kvHeads, group, 1]
  const place = g.reshape(parts.place, [dimAt(q.shape, 0), 1, 1, 1]);
  return g.where(g.equal(g.iota(dimAt(k.shape, 2)), place), own, scores);
}

/** weights v, where v's room is 0: what the token there brings is added. */
function mixedWithNow(g: Graph, weights: Tensor, v: Tensor, parts: KeyValue["parts"]): Tensor {
  const mixed = g.matmul(weights, v);
  if (parts === undefined) return mixed;
  const [batch, kvHeads, group] = axes(weights.shape, 4);
  const place = g.expand(g.reshape(parts.place, [batch, 1, 1, 1]), [batch, kvHeads, group, 1]);
  return g.add(mixed, g.mul(g.gatherLast(weights, place), parts.now.v));
}

/** softmax over scores [batch, heads, queries, keys] and a sink, without the sink's part. */
function sunken(g: Graph, scores: Tensor, sinks: Tensor): Tensor {
  const [batch, heads, queries, keys] = axes(scores.shape, 4);
  const sink = g.expand(g.reshape(sinks, [1, lengthAt(sinks.shape, 0), 1, 1]), [batch, heads, queries, 1]);
  return g.slice(g.softmax(g.concat([scores, sink], -1)), -1, 0, keys);
}
