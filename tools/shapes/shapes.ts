import { PeftError } from "../../src/errors.js";

/** A model of true shape: its config.json as the Hub has it, but without dropout. */
export interface Shape {
  readonly task: "SEQ_2_SEQ_LM" | "CAUSAL_LM" | "SEQ_CLS" | "SPEECH_SEQ_2_SEQ" | "CTC";
  readonly config: Readonly<Record<string, unknown>>;
}

const t5 = {
  architectures: ["T5ForConditionalGeneration"],
  model_type: "t5",
  is_encoder_decoder: true,
  d_kv: 64,
  vocab_size: 32128,
  feed_forward_proj: "relu",
  relative_attention_num_buckets: 32,
  layer_norm_epsilon: 1e-6,
  tie_word_embeddings: true,
  dropout_rate: 0,
  decoder_start_token_id: 0,
  pad_token_id: 0,
  eos_token_id: 1,
};
const v11 = { feed_forward_proj: "gated-gelu", tie_word_embeddings: false };
const opt = {
  architectures: ["OPTForCausalLM"],
  model_type: "opt",
  vocab_size: 50272,
  max_position_embeddings: 2048,
  activation_function: "relu",
  do_layer_norm_before: true,
  dropout: 0,
  attention_dropout: 0,
  layerdrop: 0,
  pad_token_id: 1,
  bos_token_id: 2,
  eos_token_id: 2,
};
const llama = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_act: "silu",
  attention_bias: false,
  mlp_bias: false,
  attention_dropout: 0,
  bos_token_id: 1,
  eos_token_id: 2,
};

const llamaShape = (sizes: Shape["config"]): Shape => ({ task: "CAUSAL_LM", config: { ...llama, ...sizes } });
const t5Shape = (sizes: Shape["config"]): Shape => ({ task: "SEQ_2_SEQ_LM", config: { ...t5, ...sizes } });

function optShape(hidden: number, layers: number, heads: number, others: Shape["config"] = {}): Shape {
  const sizes = { hidden_size: hidden, num_hidden_layers: layers, num_attention_heads: heads };
  const widths = { ffn_dim: 4 * hidden, word_embed_proj_dim: hidden };
  return { task: "CAUSAL_LM", config: { ...opt, ...sizes, ...widths, ...others } };
}

/** Whisper large. `sizes`: what tells its versions apart. */
function whisperShape(sizes: Shape["config"]): Shape {
  const stack = (name: string): Shape["config"] => ({
    [`${name}_layers`]: 32,
    [`${name}_attention_heads`]: 20,
    [`${name}_ffn_dim`]: 5120,
  });
  const config = {
    ...{ architectures: ["WhisperForConditionalGeneration"], model_type: "whisper", d_model: 1280 },
    ...{ is_encoder_decoder: true, max_source_positions: 1500, max_target_positions: 448 },
    ...{ ...stack("encoder"), ...stack("decoder"), pad_token_id: 50257, eos_token_id: 50257 },
    ...{ bos_token_id: 50257, decoder_start_token_id: 50258, tie_word_embeddings: true, dropout: 0 },
  };
  return { task: "SPEECH_SEQ_2_SEQ", config: { ...config, ...sizes } };
}

const xlsR: Shape["config"] = {
  ...{ architectures: ["Wav2Vec2ForCTC"], model_type: "wav2vec2", do_stable_layer_norm: true },
  ...{ feat_extract_norm: "layer", conv_bias: true, vocab_size: 32, pad_token_id: 0, layerdrop: 0 },
  ...{ attention_dropout: 0, hidden_dropout: 0, activation_dropout: 0, final_dropout: 0 },
};

/** The same as ../shared/bench/reference_step.py has, and some more. */
export const shapes: Readonly<Record<string, Shape>> = {
  "t5-small": t5Shape({ d_model: 512, d_ff: 2048, num_layers: 6, num_heads: 8 }),
  "t5-base": t5Shape({ d_model: 768, d_ff: 3072, num_layers: 12, num_heads: 12 }),
  "t5-large": t5Shape({ d_model: 1024, d_ff: 4096, num_layers: 24, num_heads: 16 }),
  "t5-3b": t5Shape({ d_model: 1024, d_kv: 128, d_ff: 16384, num_layers: 24, num_heads: 32 }),
  "t5-11b": t5Shape({ d_model: 1024, d_kv: 128, d_ff: 65536, num_layers: 24, num_heads: 128 }),
  "mt0-large": t5Shape({
    ...v11,
    architectures: ["MT5ForConditionalGeneration"],
    model_type: "mt5",
    d_model: 1024,
    d_ff: 2816,
    num_layers: 24,
    num_heads: 16,
    vocab_size: 250112,
  }),
  "t0-3b": t5Shape({ ...v11, d_model: 2048, d_ff: 5120, num_layers: 24, num_heads: 32 }),
  "whisper-large-v2": whisperShape({ vocab_size: 51865, num_mel_bins: 80 }),
  "whisper-large-v3": whisperShape({ vocab_size: 51866, num_mel_bins: 128 }),
  "xls-r-300m": {
    task: "CTC",
    config: {
      ...xlsR,
      ...{ hidden_size: 1024, num_hidden_layers: 24, num_attention_heads: 16, intermediate_size: 4096 },
    },
  },
  "opt-125m": optShape(768, 12, 12),
  "opt-350m": optShape(1024, 24, 16, { word_embed_proj_dim: 512, do_layer_norm_before: false }),
  "opt-1.3b": optShape(2048, 24, 32),
  "opt-6.7b": optShape(4096, 32, 32),
  "qwen2.5-0.5b": {
    task: "CAUSAL_LM",
    config: {
      architectures: ["Qwen2ForCausalLM"],
      model_type: "qwen2",
      vocab_size: 151936,
      hidden_size: 896,
      intermediate_size: 4864,
      num_hidden_layers: 24,
      num_attention_heads: 14,
      num_key_value_heads: 2,
      hidden_act: "silu",
      max_position_embeddings: 32768,
      rms_norm_eps: 1e-6,
      rope_theta: 1000000,
      use_sliding_window: false,
      tie_word_embeddings: true,
      attention_dropout: 0,
      bos_token_id: 151643,
      eos_token_id: 151643,
    },
  },
  "smollm2-135m": llamaShape({
    vocab_size: 49152,
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-5,
    rope_theta: 100000,
    tie_word_embeddings: true,
    pad_token_id: 2,
  }),
  /**
   * No public models, this and the next: results inside of a step outweigh weights, as `bench soak` wants it.
   */
  "llama-small": llamaShape({
    vocab_size: 8000,
    hidden_size: 512,
    intermediate_size: 1536,
    num_hidden_layers: 6,
    num_attention_heads: 8,
    num_key_value_heads: 8,
    max_position_embeddings: 1024,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: true,
    pad_token_id: 0,
  }),
  "llama-tiny": llamaShape({
    vocab_size: 4000,
    hidden_size: 128,
    intermediate_size: 384,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 4,
    max_position_embeddings: 1024,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: true,
    pad_token_id: 0,
  }),
  "llama-7b": llamaShape({
    vocab_size: 32000,
    hidden_size: 4096,
    intermediate_size: 11008,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 32,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-6,
    rope_theta: 10000,
    tie_word_embeddings: false,
    pad_token_id: 0,
  }),
  "bert-base": {
    task: "SEQ_CLS",
    config: {
      architectures: ["BertForSequenceClassification"],
      model_type: "bert",
      vocab_size: 30522,
      hidden_size: 768,
      num_hidden_layers: 12,
      num_attention_heads: 12,
      intermediate_size: 3072,
      hidden_act: "gelu",
      max_position_embeddings: 512,
      type_vocab_size: 2,
      layer_norm_eps: 1e-12,
      hidden_dropout_prob: 0,
      attention_probs_dropout_prob: 0,
      pad_token_id: 0,
    },
  },
};

/** A shape by its name, or with fewer layers (of each stack). Throws "option". */
export function shapeOf(name: string, layers?: number): Shape {
  const shape = Object.hasOwn(shapes, name) ? shapes[name] : undefined;
  if (shape === undefined) throw unknownShape(name);
  if (layers === undefined) return shape;
  const keys = "num_layers" in shape.config ? ["num_layers", "num_decoder_layers"] : ["num_hidden_layers"];
  return { ...shape, config: { ...shape.config, ...Object.fromEntries(keys.map((key) => [key, layers])) } };
}

function unknownShape(name: string): PeftError {
  return new PeftError("option", {
    what: `There is no shape "${name}".`,
    why: `known are ${Object.keys(shapes).join(", ")}.`,
    fix: "choose one of these, or add it to tools/shapes/shapes.ts.",
  });
}
