import type { Activation } from "../graph/activations.js";
import { activate, activationNames } from "../graph/activations.js";
import { dimAt } from "../graph/dims.js";
import type { KeyValue, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Architecture, StackOutput, TextInputs } from "./model.js";
import { attend, paddingBias, splitHeads, windowBias, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { commonFields, readConfig, stackSizes } from "./parts/config.js";
import { readWindowed } from "./parts/decoder_config.js";
import type { EncoderConfig } from "./parts/encoder_heads.js";
import { meet, repeat } from "./parts/layers.js";
import type { NormKind } from "./parts/norms.js";
import { norm } from "./parts/norms.js";
import { firstToken, meanToken } from "./parts/pooling.js";
import type { Rope } from "./parts/rotary.js";
import { pairs, readRopes, rotaryTables, rotate } from "./parts/rotary.js";

interface ModernBertConfig extends EncoderConfig {
  readonly heads: number;
  readonly headDim: number;
  readonly inter: number;
  readonly activation: Activation;
  readonly norm: NormKind;
  readonly eps: number;
  readonly attentionBias: boolean;
  readonly mlpBias: boolean;
  readonly rope: Rope;
  /** Layers that see `reach` tokens to each side, and turn by a rope of their own. */
  readonly windowed: readonly boolean[];
  readonly reach: number;
  readonly windowRope: Rope;
  readonly embeddingDropout: number;
  readonly attentionDropout: number;
  readonly mlpDropout: number;
  readonly pools: "cls" | "mean";
  readonly classifierActivation: Activation;
  readonly classifierBias: boolean;
}

function read(f: Fields): ModernBertConfig {
  const sizes = stackSizes(f, {
    hiddenSize: f.size("hidden_size", 768),
    layers: f.layers("num_hidden_layers", 22),
    heads: f.size("num_attention_heads", 12),
  });
  pairs(f, sizes.headDim, sizes.headDim);
  const every = f.layers("global_attn_every_n_layers", 3);
  return {
    ...commonFields(f),
    ...sizes,
    ...readRopes(f, f.number("global_rope_theta", 160_000), f.number("local_rope_theta", 10_000)),
    tied: false,
    inter: f.size("intermediate_size", 1152),
    activation: f.choice("hidden_activation", activationNames, "gelu"),
    norm: f.flag("norm_bias", false) ? "layer" : "weightOnly",
    eps: f.number("norm_eps", 1e-5),
    attentionBias: f.flag("attention_bias", false),
    mlpBias: f.flag("mlp_bias", false),
    windowed: readWindowed(f, sizes.layers, (i) => i % every !== 0),
    reach: Math.floor(f.count("local_attention", 128) / 2),
    embeddingDropout: f.rate("embedding_dropout", 0),
    attentionDropout: f.rate("attention_dropout", 0),
    mlpDropout: f.rate("mlp_dropout", 0),
    pools: f.choice("classifier_pooling", ["cls", "mean"], "cls"),
    classifierDropout: f.rate("classifier_dropout", 0),
    classifierActivation: f.choice("classifier_activation", activationNames, "gelu"),
    classifierBias: f.flag("classifier_bias", false),
  };
}

type Shared = { full: Tensor; near: Tensor; cos: Tensor; sin: Tensor; nearCos: Tensor; nearSin: Tensor };

/** ids -> [batch, virtual + seq, hidden] */
function stack(w: Module, c: ModernBertConfig, x: TextInputs): StackOutput {
  const { g } = w;
  const at = w.at("embeddings");
  const words = w.trace.prepend(at.embedding("tok_embeddings", x.ids, c.vocabSize, c.hiddenSize));
  const embedded = at.dropout("drop", norm(at, c.norm, "norm", w.pack(words), c.eps), c.embeddingDropout);
  const near = rotaryTables(g, x.positions, c.windowRope, c.headDim);
  const shared = {
    full: paddingBias(g, x.mask),
    near: windowBias(g, x.mask, dimAt(x.positions.shape, 1), c.reach),
    ...rotaryTables(g, x.positions, c.rope, c.headDim),
    ...{ nearCos: near.cos, nearSin: near.sin },
  };
  const layer = (w: Module, x: Tensor, s: Shared, past: KeyValue | undefined, i: number) => {
    const normed = i === 0 ? x : norm(w, c.norm, "attn_norm", x, c.eps);
    const attended = attention(w.at("attn"), c, normed, s, past, c.windowed[i] === true);
    const h = meet(w, "attention", attended.x, x);
    const y = feedForward(w.at("mlp"), c, norm(w, c.norm, "mlp_norm", h, c.eps));
    return { x: meet(w, "feedForward", y, h), present: attended.present };
  };
  const { hidden, present } = repeat(w.at("layers"), c.layers, embedded, x.past, shared, layer);
  return { hidden: norm(w, c.norm, "final_norm", hidden, c.eps), present };
}

function attention(
  w: Module,
  c: ModernBertConfig,
  x: Tensor,
  s: Shared,
  past: KeyValue | undefined,
  isNear: boolean,
): { x: Tensor; present: KeyValue } {
  const { g } = w;
  const { hiddenSize: width, attentionBias: bias } = c;
  const [q, k, v] = g.split(w.linear("Wqkv", x, 3 * width, { bias }), -1, [width, width, width]);
  const split = (part: Tensor): Tensor => splitHeads(w, part, c.heads, c.headDim);
  const tables = isNear ? { cos: s.nearCos, sin: s.nearSin } : s;
  const now = { k: rotate(g, split(k), tables), v: split(v) };
  const present = withPast(g, now, past);
  const mixed = attend(w, rotate(g, split(q), tables), present, {
    scale: c.headDim ** -0.5,
    bias: isNear ? s.near : s.full,
    dropout: c.attentionDropout,
  });
  const y = w.dropout("out_drop", w.linear("Wo", mixed, width, { bias }), c.attentionDropout);
  return { x: w.output(y), present };
}

/** Wo(dropout(act(first half of Wi x) second half)) */
function feedForward(w: Module, c: ModernBertConfig, x: Tensor): Tensor {
  const bias = c.mlpBias;
  const [gate, through] = w.g.split(w.linear("Wi", x, 2 * c.inter, { bias }), -1, [c.inter, c.inter]);
  const inner = w.dropout("drop", w.g.mul(activate(w.g, c.activation, gate), through), c.mlpDropout);
  return w.output(w.linear("Wo", inner, c.hiddenSize, { bias }));
}

/** dropout(norm(act(dense(x)))) */
function predict(w: Module, c: ModernBertConfig, x: Tensor): Tensor {
  const at = w.at("head");
  const dense = at.linear("dense", x, c.hiddenSize, { bias: c.classifierBias });
  const normed = norm(at, c.norm, "norm", activate(w.g, c.classifierActivation, dense), c.eps);
  return w.dropout("drop", at.output(normed), c.classifierDropout);
}

/** BERT with rotary positions, gated layers and windows. Reference: transformers/models/modernbert */
export const modernbert: Architecture<ModernBertConfig> = {
  modelTypes: ["modernbert"],
  defaultTokens: { pad_token_id: 50283, eos_token_id: 50282, bos_token_id: 50281 },
  prefix: "model",
  roles: { targets: undefined },
  parse: (json) => readConfig(json, read),
  stack,
  heads: {
    rowLabels: (w, c, hidden, mask) => {
      const pooled = c.pools === "cls" ? firstToken(w.g, hidden) : meanToken(w.g, hidden, mask);
      return w.linear("classifier", predict(w, c, pooled), c.numLabels);
    },
    tokenLabels: (w, c, hidden) => w.linear("classifier", predict(w, c, hidden), c.numLabels),
    spanEnds: (w, c, hidden) => w.linear("classifier", predict(w, c, hidden), 2),
    hidden: (_w, _c, hidden) => hidden,
  },
  newModules: ["head", "classifier"],
};
