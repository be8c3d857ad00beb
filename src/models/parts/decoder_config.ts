import type { Activation } from "../../graph/activations.js";
import { activationNames } from "../../graph/activations.js";
import type { ModelConfig } from "../model.js";
import type { Fields } from "./config.js";
import { checkGroups, commonFields } from "./config.js";
import type { NormKind } from "./norms.js";
import type { Rope } from "./rotary.js";
import { readRope, readTurned, wholePairs } from "./rotary.js";

/** Names of the norms around a sublayer: of what it reads, and of what it gives; undefined: none. */
export interface Around {
  readonly before?: string;
  readonly after?: string;
}

/** Norms of queries and keys. */
export interface HeadNorm {
  /** Their modules. */
  readonly names: { readonly q: string; readonly k: string };
  /**
   * One norm for each head alike, one over all heads together, or one norm with weights [heads, headDim]; or
   * such weights in a module per head, `norms.0` and so on.
   */
  readonly over: "head" | "width" | "heads" | "modules";
  readonly kind: NormKind;
  /** They come after positions have turned the heads. */
  readonly isLate: boolean;
}

/** A decoder of Llama's kind: what its relatives do otherwise, as a table. */
export interface DecoderConfig extends ModelConfig {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly inter: number;
  readonly activation: Activation;
  readonly eps: number;
  readonly norm: NormKind;
  readonly norms: { readonly attention: Around; readonly feedForward: Around };
  /** Attention and feed-forward read the same, and their results are added together. */
  readonly parallel: boolean;
  /** Of q, k and v, and of the output's projection. */
  readonly qkvBias: boolean;
  readonly outBias: boolean;
  readonly mlpBias: boolean;
  /** q, k and v are side by side in one layer, `qkv_proj`. */
  readonly fusedQkv: boolean;
  /**
   * The layers of a feed-forward: down(act(gate) up), or down(act(up)) where there is no gate. `fused`: gate
   * and up are side by side in `up`.
   */
  readonly mlp: {
    readonly gate?: string;
    readonly up: string;
    readonly down: string;
    readonly fused?: boolean;
  };
  /** The layer behind attention, and the norm behind all layers. */
  readonly names: { readonly out: string; readonly last: string };
  /** Norms of queries and keys; undefined: none. */
  readonly headNorm: HeadNorm | undefined;
  /** q, k and v stay within -clip to clip. */
  readonly clip: number | undefined;
  /** What embeddings, a sublayer's results, scores and logits are multiplied by. */
  readonly embeddingScale: number;
  /** Embeddings and virtual tokens alike. */
  readonly inputScale: number;
  readonly residualScale: number;
  readonly scoreScale: number;
  readonly logitScale: number;
  /** Scores and logits stay within -cap to cap. */
  readonly scoreCap: number | undefined;
  readonly logitCap: number | undefined;
  readonly embeddingDropout: number;
  readonly attentionDropout: number;
  /** Of what attention and feed-forward give. */
  readonly attendedDropout: number;
  readonly mlpDropout: number;
  readonly classifierDropout: number;
  readonly rope: Rope;
  /** Channels of a head that positions turn: the first ones. */
  readonly turned: number;
  /** Positions turn neighbours (x[2i], x[2i + 1]), not channels half a head apart. */
  readonly neighbours: boolean;
  /** Layers whose heads positions do not turn. */
  readonly unturned: readonly boolean[];
  /** Queries grow by 1 + beta log(1 + floor(position / context)). */
  readonly queryGrowth: { readonly beta: number; readonly context: number } | undefined;
  /** Each head has a score of its own beside those of keys, which brings no value. */
  readonly sinks: boolean;
  /** A token sees those after it too. */
  readonly bidirectional: boolean;
  /**
   * Where given, a token sees no more than so many, itself included (to each side, in a bidirectional model),
   * in the layers that `windowed` says.
   */
  readonly window: number | undefined;
  readonly windowed: readonly boolean[];
  /** Where given, these layers turn by it. */
  readonly windowRope: Rope | undefined;
}

/** What a config has where it does not say it, and under which names. */
export interface DecoderDefaults {
  readonly epsKey?: string;
  /** @default 1e-6 */
  readonly eps?: number;
  /** Base of the rope. @default 10000 */
  readonly theta?: number | undefined;
  /** @default hidden size / heads */
  readonly headDim?: number;
  /** Heads of keys and values. @default as many as of queries */
  readonly kvHeads?: number;
  /** Part of a head's channels that positions turn. @default 1 */
  readonly turned?: number;
  /** @default "silu" */
  readonly activation?: Activation;
  /** Whether head and embedding are one weight. @default false */
  readonly tied?: boolean;
  /** The flag of the attention's biases. @default "attention_bias" */
  readonly biasKey?: string;
  /** @default false */
  readonly bias?: boolean;
}

/** The names of Llama's norms. */
export const LLAMA_NORMS: DecoderConfig["norms"] = {
  attention: { before: "input_layernorm" },
  feedForward: { before: "post_attention_layernorm" },
};

/** Norms of what attention and feed-forward give, and none of what they read. */
export const LATE_NORMS: DecoderConfig["norms"] = {
  attention: { after: "post_attention_layernorm" },
  feedForward: { after: "post_feedforward_layernorm" },
};

/** A norm that all heads share, before they are turned. */
export const HEAD_NORM: HeadNorm = {
  names: { q: "q_norm", k: "k_norm" },
  over: "head",
  kind: "rms",
  isLate: false,
};

/** The fields that every relative of Llama has. */
export function readDecoder(f: Fields, defaults: DecoderDefaults = {}): DecoderConfig {
  const hiddenSize = f.size("hidden_size");
  const layers = f.layers("num_hidden_layers");
  const heads = f.size("num_attention_heads");
  const kvHeads = f.size("num_key_value_heads", defaults.kvHeads ?? heads);
  const headDim = f.size("head_dim", defaults.headDim ?? Math.floor(hiddenSize / heads));
  checkGroups(f, heads, kvHeads);
  const attentionBias = f.flag(defaults.biasKey ?? "attention_bias", defaults.bias ?? false);
  const none = new Array<boolean>(layers).fill(false);
  return {
    ...PLAIN,
    ...commonFields(f),
    hiddenSize,
    cache: { layers, kvHeads, headDim },
    tied: f.flag("tie_word_embeddings", defaults.tied ?? false),
    layers,
    heads,
    kvHeads,
    headDim,
    inter: f.size("intermediate_size"),
    activation: f.choice("hidden_act", activationNames, defaults.activation ?? "silu"),
    eps: f.number(defaults.epsKey ?? "rms_norm_eps", defaults.eps ?? 1e-6),
    qkvBias: attentionBias,
    outBias: attentionBias,
    mlpBias: f.flag("mlp_bias", false),
    scoreScale: headDim ** -0.5,
    attentionDropout: f.rate("attention_dropout", 0),
    classifierDropout: f.rate("classifier_dropout", f.rate("hidden_dropout", 0.1)),
    rope: readRope(f, defaults.theta),
    turned: wholePairs(f, readTurned(f, headDim, "partial_rotary_factor", defaults.turned ?? 1), headDim),
    unturned: none,
    windowed: none,
  };
}

/** What Llama does not do, and what it has under its own names. */
const PLAIN = {
  encoderDecoder: false,
  norm: "rms",
  norms: LLAMA_NORMS,
  parallel: false,
  fusedQkv: false,
  mlp: { gate: "gate_proj", up: "up_proj", down: "down_proj" },
  names: { out: "o_proj", last: "norm" },
  headNorm: undefined,
  clip: undefined,
  embeddingScale: 1,
  inputScale: 1,
  residualScale: 1,
  logitScale: 1,
  scoreCap: undefined,
  logitCap: undefined,
  embeddingDropout: 0,
  attendedDropout: 0,
  mlpDropout: 0,
  neighbours: false,
  queryGrowth: undefined,
  sinks: false,
  bidirectional: false,
  window: undefined,
  windowRope: undefined,
} as const satisfies Partial<DecoderConfig>;

const kinds = ["full_attention", "sliding_attention"] as const;

/**
 * Which layers have a window, by `layer_types`.
 * @param fallback - what the layer of this number has where the config does not say
 */
export function readWindowed(f: Fields, layers: number, fallback: (layer: number) => boolean): boolean[] {
  const otherwise = Array.from({ length: layers }, (_, i) => kinds[fallback(i) ? 1 : 0]);
  return f.choices("layer_types", kinds, layers, otherwise).map((kind) => kind === "sliding_attention");
}
