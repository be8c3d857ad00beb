import { dimAt, subDims } from "../graph/dims.js";
import type { KeyValue, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { BertConfig } from "./bert.js";
import { LEGACY_NORMS, readBert } from "./bert.js";
import type { Architecture, StackOutput, TextInputs } from "./model.js";
import { attend, paddingBias, splitHeads, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import { besidePooler, classify, denseHead } from "./parts/encoder_heads.js";
import { meet, repeat } from "./parts/layers.js";
import { positionsAfterPadding } from "./parts/positions.js";
import type { RotaryTables } from "./parts/rotary.js";
import { frequencies, pairs, rotate } from "./parts/rotary.js";

interface EsmConfig extends BertConfig {
  /** Base of the rope; undefined: positions are rows of a table added to the embeddings. */
  readonly theta: number | undefined;
  readonly embeddingNorm: boolean;
  /** The token whose embedding counts as zeros, the others growing for it; undefined: none. */
  readonly maskTokenId: number | undefined;
}

function read(f: Fields): EsmConfig {
  if (f.flag("is_folding_model", false))
    f.unbuilt(`"is_folding_model" is true, and peft.js folds no protein`);
  const kinds = ["absolute", "rotary"] as const;
  const kind = f.choice("position_embedding_type", kinds, "absolute");
  const c = readBert(f, 0, kinds);
  if (kind === "rotary") pairs(f, c.headDim, c.headDim);
  return {
    ...c,
    maxPositions: f.count("max_position_embeddings", 1026),
    firstPosition: (c.padTokenId ?? 1) + 1,
    theta: kind === "rotary" ? f.number("rope_theta", 10000) : undefined,
    embeddingNorm: f.flag("emb_layer_norm_before", false),
    maskTokenId: f.flag("token_dropout", false) ? f.id("mask_token_id") : undefined,
  };
}

/** Share of masked tokens in training, which embeddings are scaled by. */
const MASKED_SHARE = 0.15 * 0.8;

/** Behind a prompt embeddings are those of the words alone: [batch, virtual + seq, hidden] */
function embed(w: Module, c: EsmConfig, x: TextInputs): Tensor {
  const { g } = w;
  const words = w.embedding("word_embeddings", x.ids, c.vocabSize, c.hiddenSize);
  if (x.positions.shape[1] !== x.ids.shape[1]) return w.trace.prepend(words);
  let sum = c.maskTokenId === undefined ? words : withoutMasked(w, c.maskTokenId, x, words);
  if (c.theta === undefined) {
    const positions = positionsAfterPadding(g, c.firstPosition, x);
    const limit = c.maxPositions - c.firstPosition;
    sum = g.add(sum, w.embedding("position_embeddings", positions, c.maxPositions, c.hiddenSize, limit));
  }
  return c.embeddingNorm ? w.layerNorm("layer_norm", sum, c.eps) : sum;
}

/** words (1 - 0.12) / (1 - share of masked tokens), and zeros at these */
function withoutMasked({ g }: Module, id: number, x: TextInputs, words: Tensor): Tensor {
  const [length, total] = [dimAt(x.ids.shape, 1), dimAt(x.mask.shape, 1)];
  const isMasked = g.cast(g.equal(x.ids, g.scalar(id, "i64")), "f32"); // [batch, seq]
  const own = g.cast(g.less(0, g.slice(x.mask, 1, subDims(total, length), total)), "f32");
  const share = g.div(g.sum(isMasked, 1, true), g.sum(own, 1, true)); // [batch, 1]
  const factor = g.mul(g.div(1 - MASKED_SHARE, g.sub(1, share)), g.sub(1, isMasked));
  return g.mul(words, g.unsqueeze(factor, -1));
}

/** Angles per position, which checkpoints hold as a buffer. */
function tables(w: Module, c: EsmConfig, theta: number, positions: Tensor): RotaryTables {
  const { g } = w;
  const speeds = w.frozen("rotary_embeddings.inv_freq", {
    shape: [c.headDim / 2],
    initial: () => new Float32Array(frequencies({ type: "default", theta }, c.headDim)),
    isParameter: false,
  });
  const angle = g.mul(g.unsqueeze(g.cast(positions, "f32"), -1), speeds); // [batch, seq, headDim / 2]
  return { cos: g.cos(angle), sin: g.sin(angle) };
}

type Shared = { bias: Tensor } & Partial<RotaryTables>;

/** ids -> [batch, virtual + seq, hidden] */
function stack(w: Module, c: EsmConfig, x: TextInputs): StackOutput {
  const { g } = w;
  const embedded = w.pack(embed(w.at("embeddings"), c, x));
  const shared: Shared = {
    bias: paddingBias(g, x.mask),
    ...(c.theta === undefined ? {} : tables(w, c, c.theta, x.positions)),
  };
  const at = w.at("encoder");
  const { hidden, present } = repeat(at.at("layer"), c.layers, embedded, x.past, shared, (w, x, s, past) => {
    const own = w.at("attention");
    const attended = attention(own, c, own.layerNorm("LayerNorm", x, c.eps), s, past);
    const h = meet(w, "attention", attended.x, x);
    const inner = g.gelu(w.linear("intermediate.dense", w.layerNorm("LayerNorm", h, c.eps), c.inter));
    const out = w.at("output");
    const y = out.dropout("dropout", out.linear("dense", inner, c.hiddenSize), c.dropout);
    return { x: meet(w, "feedForward", y, h), present: attended.present };
  });
  // the head that predicts contacts: named and counted, though nothing reads it
  w.at("contact_head").same.linear("regression", g.zeros([1, 1, c.layers * c.heads]), 1);
  return { hidden: at.layerNorm("emb_layer_norm_after", hidden, c.eps), present };
}

function attention(
  w: Module,
  c: EsmConfig,
  x: Tensor,
  { bias, cos, sin }: Shared,
  past: KeyValue | undefined,
): { x: Tensor; present: KeyValue } {
  const at = w.at("self");
  const project = (name: string): Tensor =>
    splitHeads(w, at.linear(name, x, c.hiddenSize), c.heads, c.headDim);
  const turned = (name: string): Tensor =>
    cos === undefined || sin === undefined ? project(name) : rotate(w.g, project(name), { cos, sin });
  const q = turned("query");
  const present = withPast(w.g, { k: turned("key"), v: project("value") }, past);
  const mixed = attend(at, q, present, { scale: c.headDim ** -0.5, bias, dropout: c.attentionDropout });
  const out = w.at("output");
  const y = out.linear("dense", at.output(mixed), c.hiddenSize);
  return { x: out.dropout("dropout", y, c.dropout), present };
}

/** BERT of proteins, with norms in front. Reference: transformers/models/esm */
export const esm: Architecture<EsmConfig> = {
  modelTypes: ["esm"],
  defaultTokens: { eos_token_id: 2 },
  prefix: "esm",
  roles: { targets: undefined },
  parse: (json) => readConfig(json, read),
  checkpoint: {
    rename: [
      ...LEGACY_NORMS,
      [
        /\bencoder\.layer\.(?:\*|0)\.attention\.self\.rotary_embeddings\.inv_freq$/,
        "rotary_embeddings.inv_freq",
      ],
    ],
  },
  stack,
  heads: { rowLabels: denseHead("tanh"), tokenLabels: classify, hidden: besidePooler },
  newModules: ["classifier", "pooler", "contact_head"],
};
