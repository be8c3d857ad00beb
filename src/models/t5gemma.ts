import { internal } from "../errors.js";
import type { KeyValue, Layout, Module, SublayerSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { readGemma2 } from "./gemma2.js";
import type { Architecture, DecoderInputs, ModelConfig, StackOutput, TextInputs } from "./model.js";
import { attend, cap, paddingBias, splitHeads } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { commonFields, readConfig } from "./parts/config.js";
import { sharedOf } from "./parts/decoder.js";
import type { DecoderShared } from "./parts/decoder_attention.js";
import { decoderAttention } from "./parts/decoder_attention.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { decoderFeedForward } from "./parts/decoder_feed_forward.js";
import { meet, repeat } from "./parts/layers.js";
import { norm } from "./parts/norms.js";

interface T5GemmaConfig extends ModelConfig {
  readonly encoder: DecoderConfig;
  readonly decoder: DecoderConfig;
  readonly dropout: number;
}

function readStack(f: Fields, name: "encoder" | "decoder"): DecoderConfig {
  const own = f.object(name);
  if (own === undefined) f.fault(`"${name}" is no object that describes a stack`);
  const c = readGemma2(own ?? f, 2, { score: 50, logit: 30 });
  return { ...c, attentionDropout: f.rate("attention_dropout", 0), mlpDropout: 0 };
}

function read(f: Fields): T5GemmaConfig {
  const encoder = readStack(f, "encoder");
  const decoder = readStack(f, "decoder");
  const { layers, kvHeads, headDim } = decoder;
  return {
    ...commonFields(f),
    vocabSize: decoder.vocabSize,
    decoderStartTokenId: f.id("decoder_start_token_id") ?? f.object("decoder")?.id("bos_token_id") ?? 2,
    hiddenSize: decoder.hiddenSize,
    layers: encoder.layers,
    encoderDecoder: true,
    cache: { layers, kvHeads, headDim },
    tied: f.flag("tie_word_embeddings", true),
    // a token sees so many to each side, and itself
    encoder: { ...encoder, bidirectional: true, window: encoder.window && encoder.window + 1 },
    decoder,
    dropout: f.rate("dropout_rate", 0),
  };
}

/** dropout(hidden^0.5 words): [batch, virtual + seq, hidden]; `w` is the place of one stack. */
function embed(w: Module, c: DecoderConfig, dropout: number, x: TextInputs): Tensor {
  const words = w.embedding("embed_tokens", x.ids, c.vocabSize, c.hiddenSize);
  const scaled = w.g.mul(w.trace.prepend(words), c.embeddingScale);
  return w.dropout("dropout", w.pack(scaled), dropout);
}

const NORMS = { attention: "self_attn", crossAttention: "cross_attn", feedForward: "feedforward" } as const;

/** x + dropout(norm(sublayer(norm(x)))) */
function around(
  w: Module,
  c: DecoderConfig,
  dropout: number,
  does: SublayerSite["does"],
  x: Tensor,
  sublayer: (x: Tensor) => Tensor,
): Tensor {
  const at = (place: "pre" | "post", x: Tensor): Tensor =>
    norm(w, c.norm, `${place}_${NORMS[does]}_layernorm`, x, c.eps);
  const y = at("post", sublayer(at("pre", x)));
  return meet(w, does, w.at(NORMS[does]).dropout("dropout", y, dropout), x);
}

function selfAttention(
  w: Module,
  c: DecoderConfig,
  dropout: number,
  x: Tensor,
  shared: DecoderShared,
  past: KeyValue | undefined,
  index: number,
): { x: Tensor; present: KeyValue } {
  let present: KeyValue | undefined;
  const out = around(w, c, dropout, "attention", x, (x) => {
    const attended = decoderAttention(w, c, x, shared, past, index);
    present = attended.present;
    return attended.x;
  });
  return { x: out, present: present ?? internal("an attention without keys") };
}

function finish(w: Module, c: DecoderConfig, dropout: number, hidden: Tensor): Tensor {
  return w.dropout("final_dropout", norm(w, c.norm, "norm", hidden, c.eps), dropout);
}

/** ids -> [batch, virtual + seq, hidden] */
function encode(w: Module, { encoder: c, dropout }: T5GemmaConfig, x: TextInputs): Tensor {
  const at = w.at("encoder");
  const shared = sharedOf(w.g, c, x);
  const embedded = embed(at, c, dropout, x);
  const { hidden } = repeat(at.at("layers"), c.layers, embedded, undefined, shared, (w, x, s, _, i) => {
    const h = selfAttention(w, c, dropout, x, s, undefined, i).x;
    return { x: around(w, c, dropout, "feedForward", h, (x) => decoderFeedForward(w, c, x)) };
  });
  return finish(at, c, dropout, hidden);
}

type Shared = DecoderShared & { crossBias: Tensor; encoded?: Tensor };

/** ids, the encoder's output -> [batch, seq, hidden], present keys and values of self-attention. */
function decode(
  w: Module,
  { decoder: c, dropout }: T5GemmaConfig,
  x: DecoderInputs,
  encoded: Tensor | undefined,
): StackOutput {
  const at = w.at("decoder");
  const shared: Shared = {
    ...sharedOf(w.g, c, x),
    crossBias: paddingBias(w.g, x.encoderMask),
    ...(encoded === undefined ? {} : { encoded }),
  };
  const embedded = embed(at, c, dropout, x);
  const { hidden, present } = repeat(
    at.at("layers"),
    c.layers,
    embedded,
    x.past,
    shared,
    (w, x0, s, past, i) => {
      const self = selfAttention(w, c, dropout, x0, s, past, i);
      const crossed = around(w, c, dropout, "crossAttention", self.x, (h) =>
        crossAttention(w.at("cross_attn"), c, h, s, (project) => x.cross(i, project)),
      );
      const y = around(w, c, dropout, "feedForward", crossed, (x) => decoderFeedForward(w, c, x));
      return { x: y, present: self.present };
    },
  );
  return { hidden: finish(at, c, dropout, hidden), present };
}

function crossAttention(
  w: Module,
  c: DecoderConfig,
  x: Tensor,
  { crossBias, encoded }: Shared,
  cross: (project: (of: Layout) => KeyValue) => KeyValue,
): Tensor {
  const project = (w: Module, name: string, x: Tensor, heads: number): Tensor =>
    splitHeads(w, w.linear(name, x, heads * c.headDim, { bias: c.qkvBias }), heads, c.headDim);
  const q = project(w, "q_proj", x, c.heads);
  const kv = cross((of) => {
    if (encoded === undefined) return internal("a T5Gemma decoder got neither encoder output nor cross keys");
    const from = w.within(of);
    return { k: project(from, "k_proj", encoded, c.kvHeads), v: project(from, "v_proj", encoded, c.kvHeads) };
  });
  const options = { scale: c.scoreScale, cap: c.scoreCap, dropout: c.attentionDropout };
  const mixed = attend(w, q, kv, { ...options, bias: crossBias });
  return w.output(w.linear("o_proj", mixed, c.hiddenSize, { bias: c.outBias }));
}

/** Gemma 2 as encoder and decoder. Reference: transformers/models/t5gemma */
export const t5gemma: Architecture<T5GemmaConfig> = {
  modelTypes: ["t5gemma"],
  defaultTokens: { bos_token_id: 2, eos_token_id: 1, pad_token_id: 0 },
  prefix: "model",
  roles: { targets: undefined },
  parse: (json) => readConfig({ vocab_size: 256_000, ...json }, read),
  tie: ["lm_head.out_proj.weight", "model.decoder.embed_tokens.weight"],
  encoder: encode,
  decoder: decode,
  heads: {
    vocabulary: (w, c, hidden) => {
      const tied = c.tied ? "model.decoder.embed_tokens.weight" : undefined;
      const logits = w.linear("lm_head.out_proj", hidden, c.vocabSize, { bias: false, tied });
      return c.decoder.logitCap === undefined ? logits : cap(w.g, logits, c.decoder.logitCap);
    },
  },
  newModules: [],
};
