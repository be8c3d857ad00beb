import type { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { readGemma } from "./gemma.js";
import { readCap, SANDWICH_NORMS } from "./gemma2.js";
import { llama } from "./llama.js";
import type { Architecture, StackOutput, TextInputs } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import { readWindowed } from "./parts/decoder_config.js";
import { decoderFeedForward } from "./parts/decoder_feed_forward.js";
import { llamaHeads } from "./parts/decoder_heads.js";
import type { Layer } from "./parts/layers.js";
import { meet, repeat } from "./parts/layers.js";
import type { PerLayerConfig } from "./parts/per_layer.js";
import { perLayerInputs, perLayerResidual } from "./parts/per_layer.js";
import { readRopes } from "./parts/rotary.js";
import type { LayerSizes, SharedKv, SharedKvConfig } from "./parts/shared_kv.js";
import { cacheOf, readSources, sharedAttention, sharedTables } from "./parts/shared_kv.js";

export interface Gemma4Config extends SharedKvConfig, PerLayerConfig {}

/** The ropes of a config that has none. */
const ROPES = {
  sliding_attention: { rope_type: "default", rope_theta: 10_000 },
  full_attention: { rope_type: "proportional", partial_rotary_factor: 0.25, rope_theta: 1_000_000 },
};

function read(f: Fields): Gemma4Config {
  const c = readGemma(f, "hidden_activation");
  if (f.flag("enable_moe_block", false))
    f.unbuilt(`"enable_moe_block" is true, and peft.js knows this model without experts`);
  if (f.json["use_bidirectional_attention"] === "all")
    f.unbuilt(`"use_bidirectional_attention" is "all", and peft.js knows this model as a decoder`);
  const kinds = readWindowed(f, c.layers, (i) => (i + 1) % 6 !== 0);
  const windowed = kinds.map((isNear, i) => isNear && i < c.layers - 1); // the last layer never has a window
  const sources = readSources(f, windowed);
  const isSame = f.flag("attention_k_eq_v", false);
  const isWide = f.flag("use_double_wide_mlp", false);
  const sizes = windowed.map((isNear, i) => ({
    ...headsOf(f, c, i, isNear, isSame),
    inter: isWide && sources[i] !== undefined ? 2 * c.inter : c.inter,
  }));
  return {
    ...c,
    ...readRopes(f, 1_000_000, 10_000),
    cache: cacheOf({ sizes, sources }),
    norm: "rms",
    norms: SANDWICH_NORMS,
    logitCap: readCap(f, "final_logit_softcapping", undefined),
    window: f.count("sliding_window", 512),
    windowed,
    sizes,
    sources,
    valuesAreKeys: windowed.map((isNear) => isSame && !isNear),
    perLayer: {
      vocab: f.count("vocab_size_per_layer_input", 262144),
      width: f.json["hidden_size_per_layer_input"] === 0 ? 0 : f.size("hidden_size_per_layer_input", 256),
    },
  };
}

/** A layer's heads: by `per_layer_config`, or by fields of their own for layers without a window. */
function headsOf(
  f: Fields,
  c: { readonly kvHeads: number; readonly headDim: number },
  layer: number,
  isNear: boolean,
  isSame: boolean,
): Omit<LayerSizes, "inter"> {
  const each = f.object("per_layer_config");
  const own = each?.object(`${layer}`);
  if (own !== undefined)
    return { headDim: own.size("head_dim", c.headDim), kvHeads: own.size("num_key_value_heads", c.kvHeads) };
  if (each !== undefined || isNear) return { headDim: c.headDim, kvHeads: c.kvHeads };
  const kvHeads = isSame ? f.size("num_global_key_value_heads", c.kvHeads) : c.kvHeads;
  return { headDim: f.size("global_head_dim", 512), kvHeads };
}

/** ids -> [batch, virtual + seq, hidden] */
function stack(w: Module, c: Gemma4Config, x: TextInputs): StackOutput {
  const { g } = w;
  const words = g.mul(w.embedding("embed_tokens", x.ids, c.vocabSize, c.hiddenSize), c.embeddingScale);
  const embedded = w.trace.prepend(words);
  const shared = sharedTables(g, c, x, embedded);
  const parts = c.perLayer.width === 0 ? undefined : perLayerInputs(w, c, x.ids, words, embedded);
  const { hidden, present } = repeat(w.at("layers"), c.layers, w.pack(embedded), x.past, shared, layerOf(c), {
    source: (i) => c.sources[i],
    own: (i) => (parts === undefined ? {} : { part: parts(i) }),
  });
  return { hidden: w.rmsNorm("norm", hidden, c.eps), present };
}

function layerOf(c: Gemma4Config): Layer<SharedKv> {
  return (w, x, shared, past, i, { part }) => {
    const attended = sharedAttention(w, c, w.rmsNorm("input_layernorm", x, c.eps), shared, past, i);
    const h = meet(w, "attention", w.rmsNorm("post_attention_layernorm", attended.x, c.eps), x);
    const read = w.rmsNorm("pre_feedforward_layernorm", h, c.eps);
    const y = decoderFeedForward(w, { ...c, inter: c.sizes[i]?.inter ?? c.inter }, read);
    const fed = meet(w, "feedForward", w.rmsNorm("post_feedforward_layernorm", y, c.eps), h);
    const out = part === undefined ? fed : w.g.add(fed, perLayerResidual(w, c, fed, part));
    return { ...attended, x: w.g.mul(out, scaleOf(w)) };
  };
}

/** A buffer in Python. */
function scaleOf(w: Module): Tensor {
  return w.frozen("layer_scalar", { shape: [1], initial: () => Float32Array.of(1), isParameter: false });
}

/**
 * The text model of Gemma 4: layers of two sizes, of which the last ones may read others' keys and values.
 * Reference: transformers/models/gemma4
 */
export const gemma4: Architecture<Gemma4Config> = {
  ...llama,
  modelTypes: ["gemma4_text"],
  defaultTokens: { bos_token_id: 2, eos_token_id: 1, pad_token_id: 0 },
  roles: { targets: undefined },
  parse: (json) => readConfig({ ...json, rope_parameters: json["rope_parameters"] ?? ROPES }, read),
  stack,
  heads: { vocabulary: llamaHeads.vocabulary, hidden: llamaHeads.hidden },
  newModules: [],
};
