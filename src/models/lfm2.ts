import type { KeyValue, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import { decoderStack } from "./parts/decoder.js";
import type { DecoderShared } from "./parts/decoder_attention.js";
import { decoderAttention } from "./parts/decoder_attention.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { HEAD_NORM, readDecoder } from "./parts/decoder_config.js";
import { feedForwardAt } from "./parts/decoder_feed_forward.js";
import { llamaHeads } from "./parts/decoder_heads.js";
import { causalConv, newTokens } from "./parts/short_conv.js";

export interface Lfm2Config extends DecoderConfig {
  /** Layers that convolve over tokens, where others have attention. */
  readonly convolves: readonly boolean[];
  /** Tokens that a convolution sees, itself included. */
  readonly taps: number;
  readonly convBias: boolean;
}

const kinds = ["conv", "full_attention"] as const;

/** Which layers convolve, by `layer_types`, or by the numbers of the others. */
function readConvolves(f: Fields, layers: number): boolean[] {
  const full = f.has("full_attn_idxs") ? f.numbers("full_attn_idxs") : undefined;
  const fallback = Array.from({ length: layers }, (_, i) => kinds[full?.includes(i) === false ? 0 : 1]);
  return f.choices("layer_types", kinds, layers, fallback).map((kind) => kind === "conv");
}

/** The width inside of feed-forward layers. */
function readInter(f: Fields): number {
  const inter = f.size("intermediate_size", 12288);
  if (!f.flag("block_auto_adjust_ff_dim", true)) return inter;
  const multiple = f.size("block_multiple_of", 256);
  const scaled = Math.floor(f.number("block_ffn_dim_multiplier", 1) * Math.floor((2 * inter) / 3));
  return multiple * Math.ceil(scaled / multiple);
}

function read(f: Fields): Lfm2Config {
  const c = readDecoder(f, { epsKey: "norm_eps", eps: 1e-5, theta: 1_000_000, tied: true });
  const convolves = readConvolves(f, c.layers);
  const { kvHeads, headDim } = c;
  const half = { kvHeads: 1, headDim: Math.floor(c.hiddenSize / 2), valueDim: Math.ceil(c.hiddenSize / 2) };
  return {
    ...c,
    cache: { ...c.cache, each: convolves.map((convolve) => (convolve ? half : { kvHeads, headDim })) },
    inter: readInter(f),
    norms: { attention: { before: "operator_norm" }, feedForward: { before: "ffn_norm" } },
    names: { out: "out_proj", last: "embedding_norm" },
    mlp: { gate: "w1", up: "w3", down: "w2" },
    headNorm: { ...HEAD_NORM, names: { q: "q_layernorm", k: "k_layernorm" } },
    convolves,
    taps: f.size("conv_L_cache", 3),
    convBias: f.flag("conv_bias", false),
  };
}

/** x [batch, seq, hidden] -> out(c conv(b x)), b, c and x made of it by one layer */
function shortConv(
  layer: Module,
  c: Lfm2Config,
  x: Tensor,
  { isToken = layer.g.scalar(1) }: DecoderShared,
  past: KeyValue | undefined,
): { x: Tensor; present: KeyValue } {
  const w = layer.at("conv");
  const { g } = w;
  const width = 3 * c.hiddenSize;
  const projected = w.unpack(w.linear("in_proj", x, width, { bias: c.convBias }));
  // Python projects zeros at padding
  const atPadding = c.convBias ? w.get("in_proj.bias", [width]) : g.scalar(0);
  const parts = g.where(g.less(isToken, 1), atPadding, projected);
  const [b, gate, y] = g.split(parts, -1, [c.hiddenSize, c.hiddenSize, c.hiddenSize]);
  const made = causalConv(w.padded, "conv", g.mul(b, y), past, { taps: c.taps, bias: c.convBias });
  const out = w.linear("out_proj", w.pack(g.mul(gate, made.x)), c.hiddenSize, { bias: c.convBias });
  return { x: w.output(out), present: made.present };
}

/**
 * LFM2: short convolutions over tokens in most layers, attention in the others. arXiv 2511.23404.
 * Reference: transformers/models/lfm2
 */
export const lfm2: Architecture<Lfm2Config> = {
  ...llama,
  modelTypes: ["lfm2"],
  defaultTokens: { bos_token_id: 1, eos_token_id: 2, pad_token_id: 0 },
  roles: { targets: undefined },
  parse: (json) => readConfig(json, read),
  // a document's first tokens would see the last ones of that before it
  countsMask: true,
  stack: decoderStack<Lfm2Config>({
    attention: (layer, c, x, shared, past, i) =>
      c.convolves[i] === true
        ? shortConv(layer, c, x, shared, past)
        : decoderAttention(layer, c, x, shared, past, i),
    feedForward: (layer, c, x) => feedForwardAt(layer.at("feed_forward"), c, x),
    shared: (g, _c, x) => ({ isToken: newTokens(g, x) }),
  }),
  heads: { vocabulary: llamaHeads.vocabulary, hidden: llamaHeads.hidden },
  newModules: [],
};
