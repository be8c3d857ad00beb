import type { Activation } from "../graph/activations.js";
import { activate, activationNames } from "../graph/activations.js";
import { dimAt } from "../graph/dims.js";
import type { KeyValue, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { at } from "../present.js";
import type { Architecture, ModelConfig, StackOutput, TextInputs } from "./model.js";
import { attend, causalBias, splitHeads, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { commonFields, MOST, readConfig, stackSizes } from "./parts/config.js";
import { decoderHeads } from "./parts/decoder_heads.js";
import { meet, repeat } from "./parts/layers.js";

export interface GptNeoConfig extends ModelConfig {
  readonly heads: number;
  readonly headDim: number;
  readonly inter: number;
  readonly activation: Activation;
  readonly eps: number;
  readonly maxPositions: number;
  /** A token sees no more than so many, itself included, in the layers that `windowed` says. */
  readonly window: number;
  readonly windowed: readonly boolean[];
  readonly embeddingDropout: number;
  readonly attentionDropout: number;
  readonly residualDropout: number;
}

const kinds = ["global", "local"] as const;

/** `attention_layers` from `attention_types`, [[kinds, times], ...], where only these stand there. */
function withLayers(json: Record<string, unknown>): Record<string, unknown> {
  const types = json["attention_types"];
  const isRepeated = (item: unknown): item is [unknown[], number] =>
    Array.isArray(item) && Array.isArray(item[0]) && Number.isSafeInteger(item[1]) && item[1] <= MOST.layers;
  if (json["attention_layers"] || types === undefined || types === null) return json;
  // a fault there
  if (!Array.isArray(types) || !types.every(isRepeated)) return { ...json, attention_layers: types };
  const layers = types
    .slice(0, MOST.layers)
    .flatMap(([names, times]) => Array.from({ length: times }, () => names).flat());
  return { ...json, attention_layers: layers };
}

const alternating = (layers: number): (typeof kinds)[number][] =>
  Array.from({ length: layers }, (_, i) => at(kinds, i % 2));

function read(f: Fields): GptNeoConfig {
  const sizes = stackSizes(f, {
    hiddenSize: f.size("hidden_size"),
    layers: f.layers("num_layers"),
    heads: f.size("num_heads"),
  });
  return {
    ...commonFields(f),
    ...sizes,
    tied: f.flag("tie_word_embeddings", true),
    inter: f.size("intermediate_size", 4 * sizes.hiddenSize),
    activation: f.choice("activation_function", activationNames, "gelu_new"),
    eps: f.number("layer_norm_epsilon", 1e-5),
    maxPositions: f.count("max_position_embeddings", 2048),
    window: f.count("window_size", 256),
    windowed: f
      .choices("attention_layers", kinds, sizes.layers, alternating(sizes.layers))
      .map((kind) => kind === "local"),
    embeddingDropout: f.rate("embed_dropout", 0),
    attentionDropout: f.rate("attention_dropout", 0),
    residualDropout: f.rate("resid_dropout", 0),
  };
}

/** ids -> [batch, virtual + seq, hidden] */
function stack(w: Module, c: GptNeoConfig, x: TextInputs): StackOutput {
  const { g } = w;
  const words = w.trace.prepend(w.embedding("wte", x.ids, c.vocabSize, c.hiddenSize));
  const positions = w.embedding("wpe", x.positions, c.maxPositions, c.hiddenSize, c.maxPositions);
  const length = dimAt(words.shape, 1);
  const shared = { full: causalBias(g, x.mask, length), near: causalBias(g, x.mask, length, c.window) };
  const { hidden, present } = repeat(
    w.at("h"),
    c.layers,
    w.dropout("drop", w.pack(g.add(words, positions)), c.embeddingDropout),
    x.past,
    shared,
    (w, x, { full, near }, past, i) => {
      const bias = c.windowed[i] ? near : full;
      const attended = attention(w.at("attn.attention"), c, w.layerNorm("ln_1", x, c.eps), bias, past);
      const sum = (a: Tensor): Tensor => g.add(a, x);
      const h = meet(w, "attention", attended.x, x, { sum });
      const y = feedForward(w.at("mlp"), c, w.layerNorm("ln_2", h, c.eps));
      return { x: meet(w, "feedForward", y, h), present: attended.present };
    },
  );
  return { hidden: w.layerNorm("ln_f", hidden, c.eps), present };
}

/** Scores are not divided by sqrt(headDim) here. */
function attention(
  w: Module,
  c: GptNeoConfig,
  x: Tensor,
  bias: Tensor,
  past: KeyValue | undefined,
): { x: Tensor; present: KeyValue } {
  const project = (name: string): Tensor =>
    splitHeads(w, w.linear(name, x, c.hiddenSize, { bias: false }), c.heads, c.headDim);
  const q = project("q_proj");
  const present = withPast(w.g, { k: project("k_proj"), v: project("v_proj") }, past);
  const mixed = attend(w, q, present, { scale: 1, bias, dropout: c.attentionDropout });
  const y = w.linear("out_proj", mixed, c.hiddenSize);
  return { x: w.output(w.dropout("resid_dropout", y, c.residualDropout)), present };
}

function feedForward(w: Module, c: GptNeoConfig, x: Tensor): Tensor {
  const inner = activate(w.g, c.activation, w.linear("c_fc", x, c.inter));
  const y = w.linear("c_proj", inner, c.hiddenSize);
  return w.output(w.dropout("dropout", y, c.residualDropout));
}

/** Every other layer sees a window only. Reference: transformers/models/gpt_neo */
export const gptNeo: Architecture<GptNeoConfig> = {
  modelTypes: ["gpt_neo"],
  defaultTokens: { bos_token_id: 50256, eos_token_id: 50256 },
  prefix: "transformer",
  roles: {
    targets: ["q_proj", "v_proj"],
    scaled: { targets: ["q_proj", "v_proj", "c_proj"], feedforward: ["c_proj"] },
  },
  parse: (json) => readConfig(withLayers(json), read),
  tie: ["lm_head.weight", "transformer.wte.weight"],
  stack,
  heads: decoderHeads("transformer.wte.weight"),
  newModules: ["score"],
};
