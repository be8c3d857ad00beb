import type { Activation } from "../graph/activations.js";
import { activate, activationNames } from "../graph/activations.js";
import type { Dim } from "../graph/dims.js";
import { axes, dimAt, mulDims, subDims } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { KeyValue, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { BertConfig } from "./bert.js";
import { addAndNorm, readBert } from "./bert.js";
import type { Architecture, StackOutput, TextInputs } from "./model.js";
import { attend, MASKED, splitFused, splitHeads, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { MOST, readConfig } from "./parts/config.js";
import { repeat } from "./parts/layers.js";
import { firstToken } from "./parts/pooling.js";

export interface DebertaConfig extends BertConfig {
  /** Positions are rows of a table added to the embeddings. */
  readonly absolute: boolean;
  /** Where given, scores gain by the distance of query and key. */
  readonly relative: Relative | undefined;
  readonly poolerActivation: Activation;
  readonly poolerDropout: number;
  /** q, k and v of a head are side by side in `in_proj`, whose biases stand beside it; k has none. */
  readonly fused: boolean;
}

interface Relative {
  /** Distances are told apart from -span to span - 1. */
  readonly span: number;
  /** Farther ones are grouped, up to this one, where span is of buckets; undefined: one by one. */
  readonly farthest: number | undefined;
  /**
   * Content meets position: queries meet the keys of distances; position meets content: keys meet their
   * queries.
   */
  readonly c2p: boolean;
  readonly p2c: boolean;
  /** The layers of what queries and keys meet; the attention's own, where they share them. */
  readonly layers: { readonly key: string; readonly query: string; readonly keyBias: boolean };
  readonly norm: boolean;
}

/** The fields that every DeBERTa has. */
export function readDeberta(f: Fields): DebertaConfig {
  const c = readBert(f, f.number("type_vocab_size", 0));
  if (f.has("conv_kernel_size") && f.number("conv_kernel_size") > 0)
    f.unbuilt(`"conv_kernel_size" is not 0, and peft.js has no convolution in this model`);
  return {
    ...c,
    embeddingDim: f.size("embedding_size", c.hiddenSize),
    eps: f.number("layer_norm_eps", 1e-7),
    classifierDropout: f.rate("cls_dropout", c.dropout),
    absolute: f.flag("position_biased_input", true),
    relative: f.flag("relative_attention", false) ? readRelative(f, c.maxPositions) : undefined,
    poolerActivation: f.choice("pooler_hidden_act", activationNames, "gelu"),
    poolerDropout: f.rate("pooler_dropout", 0),
    fused: false,
  };
}

function readRelative(f: Fields, maxPositions: number): Relative {
  const isGiven = (key: string): boolean => f.has(key) && f.number(key) >= 1; // -1: not
  const table = (key: string): number => f.size(key, undefined, MOST.table);
  if (!isGiven("max_relative_positions") && maxPositions > MOST.table) table("max_position_embeddings");
  const limit = isGiven("max_relative_positions") ? table("max_relative_positions") : maxPositions;
  const buckets = isGiven("position_buckets") ? table("position_buckets") : 0;
  const types = f.json["pos_att_type"] ?? [];
  const kinds = typeof types === "string" ? types.toLowerCase().split("|") : types;
  if (!Array.isArray(kinds)) f.fault(`"pos_att_type" is neither a list nor names with "|" between them`);
  const includes = (kind: string): boolean => Array.isArray(kinds) && kinds.includes(kind);
  const norm = f.json["norm_rel_ebd"] ?? "none";
  return {
    span: buckets > 0 ? buckets : limit,
    farthest: buckets > 0 ? limit : undefined,
    c2p: includes("c2p"),
    p2c: includes("p2c"),
    layers: f.flag("share_att_key", false)
      ? { key: "key_proj", query: "query_proj", keyBias: true }
      : { key: "pos_key_proj", query: "pos_query_proj", keyBias: true },
    norm: `${norm}`.includes("layer_norm"),
  };
}

/**
 * Read by all layers: i64 rows of distances for queries and for keys [queries, keys], and what stands for
 * each distance.
 */
type Shared = { bias: Tensor; isReal: Tensor; c2p?: Tensor; p2c?: Tensor; distances?: Tensor };

/** ids -> [batch, virtual + seq, hidden] */
function stack(w: Module, c: DebertaConfig, x: TextInputs): StackOutput {
  const { g } = w;
  const encoder = w.at("encoder");
  const embedded = embed(w.at("embeddings"), c, x);
  const queries = dimAt(x.positions.shape, 1);
  const shared: Shared = {
    bias: pairBias(g, x.mask, queries),
    isReal: realQueries(g, x.mask, queries),
    ...(c.relative === undefined ? {} : relatives(encoder, c, c.relative, queries, dimAt(x.mask.shape, 1))),
  };
  return repeat(encoder.at("layer"), c.layers, embedded, x.past, shared, (w, x, s, past) => {
    const attended = attention(w.at("attention"), c, x, s, past);
    const inner = w.linear("intermediate.dense", attended.x, c.inter);
    const y = activate(w.g, c.activation, inner);
    return { x: addAndNorm(w.at("output"), "feedForward", c, y, attended.x), present: attended.present };
  });
}

function embed(w: Module, c: DebertaConfig, x: TextInputs): Tensor {
  const { g } = w;
  let sum = w.trace.prepend(w.embedding("word_embeddings", x.ids, c.vocabSize, c.embeddingDim));
  if (c.absolute) {
    const limit = c.maxPositions;
    sum = g.add(sum, w.embedding("position_embeddings", x.positions, limit, c.embeddingDim, limit));
  }
  if (c.tokenTypes > 0) {
    const typeIds = x.typeIds ?? g.constant([0], [1, 1], "i64");
    sum = g.add(sum, w.embedding("token_type_embeddings", typeIds, c.tokenTypes, c.embeddingDim));
  }
  const wide =
    c.embeddingDim === c.hiddenSize ? sum : w.linear("embed_proj", sum, c.hiddenSize, { bias: false });
  const normed = w.layerNorm("LayerNorm", wide, c.eps);
  const [length, total] = [dimAt(sum.shape, 1), dimAt(x.mask.shape, 1)];
  const real = g.cast(g.slice(x.mask, 1, subDims(total, length), total), "f32");
  return w.dropout("dropout", w.pack(g.mul(normed, g.unsqueeze(real, -1))), c.dropout);
}

/**
 * [batch, 1, queries, 1]: 0 at padding, whose scores count for nothing, so that none of their gradient does
 * where a loss runs over padding.
 */
function realQueries(g: Graph, mask: Tensor, queries: Dim): Tensor {
  const keys = dimAt(mask.shape, 1);
  const own = g.slice(mask, 1, subDims(keys, queries), keys);
  return g.unsqueeze(g.unsqueeze(g.cast(g.less(0, own), "f32"), 1), -1);
}

/** [batch, 1, queries, keys]: padding sees as little as it is seen. */
function pairBias(g: Graph, mask: Tensor, queries: Dim): Tensor {
  const keys = dimAt(mask.shape, 1);
  const real = g.less(0, mask);
  const query = g.slice(real, 1, subDims(keys, queries), keys);
  const both = g.and(g.unsqueeze(query, -1), g.unsqueeze(real, 1)); // [batch, queries, keys]
  return g.unsqueeze(g.where(both, g.scalar(0), MASKED), 1);
}

/**
 * What stands for the distances [1, 2 span, hidden], and where the score of a query with the distance of a
 * key is found among [queries * 2 span], or [keys * 2 span] of a key with the distance of a query. Past keys
 * stand in front.
 */
function relatives(
  w: Module,
  c: DebertaConfig,
  r: Relative,
  queries: Dim,
  keys: Dim,
): Omit<Shared, "bias" | "isReal"> {
  const { g } = w;
  const count = 2 * r.span;
  const rows = w.at("rel_embeddings").get("weight", [count, c.hiddenSize]);
  const far = r.farthest ?? r.span;
  const table = g.constant(distanceRows(r.span, r.farthest), [2 * far + 1], "i64");
  const past = g.sub(g.size(keys, "i64"), g.size(queries, "i64"));
  const [query, key] = [g.unsqueeze(g.iota(queries), 1), g.unsqueeze(g.iota(keys), 0)];
  const ahead = g.sub(g.add(query, past), key); // [queries, keys]
  const row = g.gather(table, g.add(g.max(g.min(ahead, far), -far), far));
  return {
    distances: g.unsqueeze(r.norm ? w.layerNorm("LayerNorm", rows, c.eps) : rows, 0),
    ...(r.c2p ? { c2p: g.add(g.mul(query, count), row) } : {}),
    ...(r.p2c ? { p2c: g.add(g.mul(key, count), row) } : {}),
  };
}

/**
 * The row of each distance query - key from -far to far, beyond which it does not change: near ones have rows
 * of their own, those farther than half a span share them by their logarithm, rounded to f32 at each step as
 * torch does.
 * Reference: transformers/models/deberta_v2/modeling_deberta_v2.py, make_log_bucket_position
 */
export function distanceRows(span: number, farthest?: number): number[] {
  const f32 = Math.fround;
  const far = farthest ?? span;
  const half = Math.floor(span / 2);
  const log = (x: number): number => f32(Math.log(f32(x)));
  const grouped = (distance: number): number => {
    if (farthest === undefined || distance <= half) return distance;
    const part = f32(log(distance / half) / log((farthest - 1) / half));
    return half + Math.ceil(f32(part * (half - 1)));
  };
  return Array.from({ length: 2 * far + 1 }, (_, i) => {
    const row = span + Math.sign(i - far) * grouped(Math.abs(i - far));
    return Math.min(Math.max(row, 0), 2 * span - 1);
  });
}

function attention(
  w: Module,
  c: DebertaConfig,
  x: Tensor,
  s: Shared,
  past: KeyValue | undefined,
): { x: Tensor; present: KeyValue } {
  const at = w.at("self");
  const project = (name: string, x: Tensor, of = at, bias = true): Tensor =>
    splitHeads(of, of.linear(name, x, c.hiddenSize, { bias }), c.heads, c.headDim);
  const {
    q: all,
    k,
    v,
  } = c.fused
    ? fusedHeads(at, c, x)
    : { q: project("query_proj", x), k: project("key_proj", x), v: project("value_proj", x) };
  const present = withPast(w.g, { k, v }, past);
  const kinds = 1 + (s.c2p === undefined ? 0 : 1) + (s.p2c === undefined ? 0 : 1);
  const scale = (c.headDim * kinds) ** -0.5;
  const q = w.g.mul(all, s.isReal);
  const far = w.g.mul(w.g.mul(distanceScores(at, c, s, q, present.k, project), scale), s.isReal);
  const bias = w.g.add(s.bias, far);
  const mixed = attend(at, q, present, { scale, bias, dropout: c.attentionDropout });
  return { x: addAndNorm(w.at("output"), "attention", c, at.output(mixed), x), present };
}

/** [batch, heads, seq, headDim] each */
function fusedHeads(w: Module, c: DebertaConfig, x: Tensor): KeyValue & { q: Tensor } {
  const fused = w.linear("in_proj", x, 3 * c.hiddenSize, { bias: false });
  const { q, k, v } = splitFused(w, fused, c.heads, c.headDim);
  const bias = (name: string): Tensor => w.g.reshape(w.get(name, [c.hiddenSize]), [1, c.heads, 1, c.headDim]);
  return { q: w.g.add(q, bias("q_bias")), k, v: w.g.add(v, bias("v_bias")) };
}

/** [batch, heads, queries, keys]: q meets the keys of distances, k meets their queries. */
function distanceScores(
  w: Module,
  c: DebertaConfig,
  s: Shared,
  q: Tensor,
  k: Tensor,
  project: (name: string, x: Tensor, of: Module, bias: boolean) => Tensor,
): Tensor {
  const { g } = w;
  if (s.distances === undefined || c.relative === undefined) return g.scalar(0);
  const distances = w.same.dropout("pos_dropout", s.distances, c.dropout);
  const { key, query, keyBias } = c.relative.layers;
  /** x [batch, heads, n, headDim], found [queries, keys] among [n * 2 span] */
  const meet = (x: Tensor, name: string, found: Tensor, bias = true): Tensor => {
    // [batch, heads, n, 2 span]
    const scores = g.matmul(x, project(name, distances, w.same, bias), { transB: true });
    const [batch, heads, n, count] = axes(scores.shape, 4);
    return g.gather(g.reshape(scores, [batch, heads, mulDims(n, count)]), found, -1);
  };
  const parts = [
    ...(s.c2p === undefined ? [] : [meet(q, key, s.c2p, keyBias)]),
    ...(s.p2c === undefined ? [] : [meet(k, query, s.p2c)]),
  ];
  return parts.reduce((sum, part) => g.add(sum, part), g.scalar(0));
}

/** act(dense(dropout(first position))), [batch, hidden] */
function pool(w: Module, c: DebertaConfig, hidden: Tensor): Tensor {
  const first = w.dropout("dropout", firstToken(w.g, hidden), c.poolerDropout);
  return w.output(activate(w.g, c.poolerActivation, w.linear("dense", first, c.hiddenSize)));
}

/**
 * DeBERTa v2 and v3, without the convolution of v2's xlarge forms. Reference: transformers/models/deberta_v2
 */
export const debertaV2: Architecture<DebertaConfig> = {
  modelTypes: ["deberta-v2"],
  prefix: "deberta",
  roles: {
    targets: ["query_proj", "value_proj"],
    scaled: { targets: ["key_proj", "value_proj", "output.dense"], feedforward: ["output.dense"] },
  },
  parse: (json) => readConfig(json, readDeberta),
  stack,
  heads: {
    rowLabels: (w, c, hidden) => {
      const pooled = pool(w.at("pooler"), c, hidden);
      return w.linear("classifier", w.dropout("dropout", pooled, c.classifierDropout), c.numLabels);
    },
    tokenLabels: (w, c, x) => w.linear("classifier", w.dropout("dropout", x, c.dropout), c.numLabels),
    spanEnds: (w, _c, hidden) => w.linear("qa_outputs", hidden, 2),
    hidden: (_w, _c, hidden) => hidden,
  },
  newModules: ["classifier", "qa_outputs", "pooler"],
};
