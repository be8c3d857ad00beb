import { activate } from "../graph/activations.js";
import { axes } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { at } from "../present.js";
import { readGemma } from "./gemma.js";
import { readCap } from "./gemma2.js";
import { llama } from "./llama.js";
import type { Architecture, StackOutput, TextInputs } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import { readWindowed } from "./parts/decoder_config.js";
import { llamaHeads } from "./parts/decoder_heads.js";
import type { Layer } from "./parts/layers.js";
import { meet, repeat } from "./parts/layers.js";
import type { PerLayerConfig } from "./parts/per_layer.js";
import { perLayerInputs, perLayerResidual } from "./parts/per_layer.js";
import { readRopes } from "./parts/rotary.js";
import type { SharedKv, SharedKvConfig } from "./parts/shared_kv.js";
import { cacheOf, readSources, sharedAttention, sharedTables } from "./parts/shared_kv.js";

export interface Gemma3nConfig extends SharedKvConfig, PerLayerConfig {
  /** Copies of the hidden states, side by side between layers; layers compute with the active one (AltUp). */
  readonly copies: number;
  readonly active: number;
  readonly scalesCorrected: boolean;
  readonly laurelRank: number;
  /** Share of a layer's gates that are cut off as too small. */
  readonly sparsity: readonly number[];
}

/** Where `intermediate_size` goes if it is a list. */
const EACH = "intermediate_sizes";

function readActive(f: Fields, copies: number): number {
  const active = f.number("altup_active_idx", 0);
  if (Number.isInteger(active) && active >= 0 && active < copies) return active;
  f.fault(`"altup_active_idx" is ${active}, and there are ${copies} copies`);
  return 0;
}

/** A number for all layers, or one for each. */
function readEach(f: Fields, key: string, layers: number, fallback: readonly number[]): readonly number[] {
  if (!f.has(key)) return fallback;
  if (!Array.isArray(f.json[key])) return new Array<number>(layers).fill(f.number(key));
  const each = f.numbers(key);
  if (each.length !== layers) f.fault(`"${key}" has ${each.length} numbers for ${layers} layers`);
  return each;
}

function read(f: Fields): Gemma3nConfig {
  const layers = f.layers("num_hidden_layers");
  const c = readGemma(f, "hidden_activation");
  const inters = readEach(f, EACH, layers, new Array<number>(layers).fill(c.inter));
  const copies = f.size("altup_num_inputs", 4);
  const windowed = readWindowed(f, layers, (i) => (i + 1) % 5 !== 0);
  const sources = readSources(f, windowed);
  const sizes = inters.map((inter) => ({ inter, kvHeads: c.kvHeads, headDim: c.headDim }));
  const sparse = Array.from({ length: layers }, (_, i) => (layers > 10 && i < 10 ? 0.95 : 0));
  return {
    ...c,
    ...readRopes(f, 1_000_000, f.number("rope_local_base_freq", 10_000)),
    cache: cacheOf({ sizes, sources }),
    norm: "rms",
    logitCap: readCap(f, "final_logit_softcapping", 30),
    window: f.count("sliding_window", 512),
    windowed,
    sizes,
    sources,
    valuesAreKeys: windowed.map(() => false),
    perLayer: {
      vocab: f.count("vocab_size_per_layer_input", 262144),
      width: f.size("hidden_size_per_layer_input", 256),
    },
    copies,
    active: readActive(f, copies),
    scalesCorrected: f.flag("altup_correct_scale", true),
    laurelRank: f.size("laurel_rank", 64),
    sparsity: readEach(f, "activation_sparsity_pattern", layers, sparse),
  };
}

/** ids -> [batch, virtual + seq, hidden] */
function stack(w: Module, c: Gemma3nConfig, x: TextInputs): StackOutput {
  const { g } = w;
  const words = g.mul(w.embedding("embed_tokens", x.ids, c.vocabSize, c.hiddenSize), c.embeddingScale);
  const embedded = w.trace.prepend(words);
  const parts = perLayerInputs(w, c, x.ids, words, embedded);
  const first = w.pack(embedded);
  const others = Array.from({ length: c.copies - 1 }, (_, i) =>
    asLoud(g, w.linear(`altup_projections.${i}`, first, c.hiddenSize, { bias: false }), first),
  );
  const { hidden, present } = repeat(
    w.at("layers"),
    c.layers,
    g.concat([first, ...others], -1),
    x.past,
    sharedTables(g, c, x, embedded),
    layerOf(c),
    { source: (i) => c.sources[i], own: (i) => ({ part: parts(i) }) },
  );
  const [own = hidden, ...copies] = copiesOf(g, c, hidden);
  const back = copies.map((copy, i) =>
    asLoud(g, w.linear(`altup_unembed_projections.${i}`, copy, c.hiddenSize, { bias: false }), own),
  );
  const mean = g.mul(
    back.reduce((sum, x) => g.add(sum, x), own),
    1 / c.copies,
  );
  return { hidden: w.rmsNorm("norm", mean, c.eps), present };
}

/** x with the root mean square of `like`, row by row. */
function asLoud(g: Graph, x: Tensor, like: Tensor): Tensor {
  const power = (x: Tensor): Tensor => g.mean(g.square(x), -1, true);
  return g.div(g.mul(x, g.sqrt(power(like))), g.sqrt(g.max(power(x), 1e-5)));
}

/** x [batch, seq, copies * hidden] -> each copy, [batch, seq, hidden] */
function copiesOf(g: Graph, c: Gemma3nConfig, x: Tensor): Tensor[] {
  return g.split(x, -1, new Array<number>(c.copies).fill(c.hiddenSize));
}

function layerOf(c: Gemma3nConfig): Layer<SharedKv> {
  return (w, x, shared, past, i, { part }) => {
    const { g } = w;
    const predicted = predict(w.at("altup"), c, x);
    const active = at(predicted, c.active);
    const normed = w.rmsNorm("input_layernorm", active, c.eps);
    const beside = laurel(w.at("laurel"), c, normed);
    const attended = sharedAttention(w, c, normed, shared, past, i);
    const a = meet(w, "attention", w.rmsNorm("post_attention_layernorm", attended.x, c.eps), active);
    const h = g.mul(g.add(a, beside), Math.SQRT1_2);
    const y = feedForward(w.at("mlp"), c, w.rmsNorm("pre_feedforward_layernorm", h, c.eps), i);
    const fed = meet(w, "feedForward", w.rmsNorm("post_feedforward_layernorm", y, c.eps), h);
    const [first = fed, ...others] = correct(w.at("altup"), c, predicted, fed);
    const corrected = at([first, ...others], c.active);
    const scaled = c.scalesCorrected
      ? g.mul(corrected, w.at("altup").get("correct_output_scale", [c.hiddenSize]))
      : corrected;
    const residual = part === undefined ? undefined : perLayerResidual(w, c, scaled, part);
    const out = others.map((x) => (residual === undefined ? x : g.add(x, residual)));
    return { ...attended, x: g.concat([first, ...out], -1) };
  };
}

/** What the active copy tells the others: tanh(router(norm(x) / hidden)), [batch, seq, copies] */
function modalities(w: Module, c: Gemma3nConfig, x: Tensor): Tensor {
  const read = w.g.mul(w.rmsNorm("router_norm", x, c.eps), 1 / c.hiddenSize);
  return w.g.tanh(w.linear("modality_router", read, c.copies, { bias: false }));
}

/** Each copy plus a mixture of all, by coefficients that the active one gives. */
function predict(w: Module, c: Gemma3nConfig, x: Tensor): Tensor[] {
  const { g } = w;
  const copies = copiesOf(g, c, x);
  const routed = modalities(w, c, at(copies, c.active));
  const coefs = w.linear("prediction_coefs", routed, c.copies ** 2, { bias: false });
  const [batch, seq] = axes(x.shape, 3);
  const square = g.reshape(coefs, [batch, seq, c.copies, c.copies]);
  const rows = g.reshape(x, [batch, seq, c.copies, c.hiddenSize]);
  const mixed = g.add(g.matmul(square, rows), rows);
  return copiesOf(g, c, g.reshape(mixed, [batch, seq, c.copies * c.hiddenSize]));
}

/** Each copy plus a share of what the layer changed. */
function correct(w: Module, c: Gemma3nConfig, predicted: readonly Tensor[], made: Tensor): Tensor[] {
  const { g } = w;
  const routed = modalities(w, c, made);
  const coefs = g.add(w.linear("correction_coefs", routed, c.copies, { bias: false }), 1);
  const change = g.sub(made, at(predicted, c.active));
  return predicted.map((x, i) => g.add(x, g.mul(change, g.slice(coefs, 2, i, i + 1))));
}

/** x + norm(right(left(x))), of a low rank */
function laurel(w: Module, c: Gemma3nConfig, x: Tensor): Tensor {
  const low = w.linear("linear_left", x, c.laurelRank, { bias: false });
  const y = w.linear("linear_right", low, c.hiddenSize, { bias: false });
  return w.g.add(x, w.rmsNorm("post_laurel_norm", y, c.eps));
}

function feedForward(w: Module, c: Gemma3nConfig, x: Tensor, layer: number): Tensor {
  const { g } = w;
  const { inter } = at(c.sizes, layer);
  const gate = w.linear("gate_proj", x, inter, { bias: false });
  const share = at(c.sparsity, layer);
  const kept = share > 0 ? largest(g, gate, share) : gate;
  const inner = g.mul(activate(g, c.activation, kept), w.linear("up_proj", x, inter, { bias: false }));
  return w.output(w.linear("down_proj", inner, c.hiddenSize, { bias: false }));
}

/** relu(x - (mean + deviation z)): what is left of normally distributed numbers is 1 - share of them. */
function largest(g: Graph, x: Tensor, share: number): Tensor {
  const mean = g.mean(x, -1, true);
  const deviation = g.sqrt(g.mean(g.square(g.sub(x, mean)), -1, true));
  return g.relu(g.sub(x, g.add(mean, g.mul(deviation, normalQuantile(share)))));
}

/** The z below which a share of a standard normal distribution lies, by Newton's steps. */
export function normalQuantile(share: number): number {
  let z = 0;
  for (let step = 0; step < 50; step++) {
    const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
    let [term, sum] = [z, z]; // z + z^3 / 3 + z^5 / 15 + ...
    for (let n = 3; Math.abs(term) > 1e-17; n += 2) sum += term *= (z * z) / n;
    z -= Math.max(-1, Math.min(1, (0.5 + density * sum - share) / density));
  }
  return z;
}

/**
 * The text model of Gemma 3n: copies of the hidden states of which one is computed with, an embedding for
 * each layer, sparse gates, and last layers that read others' keys and values.
 * Reference: transformers/models/gemma3n
 */
export const gemma3n: Architecture<Gemma3nConfig> = {
  ...llama,
  modelTypes: ["gemma3n_text"],
  defaultTokens: { bos_token_id: 2, eos_token_id: 1, pad_token_id: 0 },
  roles: { targets: undefined },
  parse: (json) => {
    const each = json["intermediate_size"];
    return readConfig(
      Array.isArray(each) ? { ...json, intermediate_size: each[0], [EACH]: each } : json,
      read,
    );
  },
  stack,
  heads: { vocabulary: llamaHeads.vocabulary, hidden: llamaHeads.hidden },
  newModules: [],
};
