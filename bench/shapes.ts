/** config.json of models of true shape, as ../shared/bench/reference_step.py has them; no dropout on either side. */
const t5 = {
  model_type: "t5",
  d_kv: 64,
  vocab_size: 32128,
  feed_forward_proj: "relu",
  tie_word_embeddings: true,
  dropout_rate: 0,
  decoder_start_token_id: 0,
  pad_token_id: 0,
  eos_token_id: 1,
};
const v11 = { feed_forward_proj: "gated-gelu", tie_word_embeddings: false };

interface Shape {
  readonly task: "SEQ_2_SEQ_LM" | "CAUSAL_LM" | "SEQ_CLS";
  readonly config: Readonly<Record<string, unknown>>;
}

export const shapes: Readonly<Record<string, Shape>> = {
  "t5-small": {
    task: "SEQ_2_SEQ_LM",
    config: { ...t5, d_model: 512, d_ff: 2048, num_layers: 6, num_heads: 8 },
  },
  "t5-base": {
    task: "SEQ_2_SEQ_LM",
    config: { ...t5, d_model: 768, d_ff: 3072, num_layers: 12, num_heads: 12 },
  },
  "t5-large": {
    task: "SEQ_2_SEQ_LM",
    config: { ...t5, d_model: 1024, d_ff: 4096, num_layers: 24, num_heads: 16 },
  },
  "mt0-large": {
    task: "SEQ_2_SEQ_LM",
    config: {
      ...t5,
      ...v11,
      model_type: "mt5",
      d_model: 1024,
      d_ff: 2816,
      num_layers: 24,
      num_heads: 16,
      vocab_size: 250112,
    },
  },
  "t0-3b": {
    task: "SEQ_2_SEQ_LM",
    config: { ...t5, ...v11, d_model: 2048, d_ff: 5120, num_layers: 24, num_heads: 32 },
  },
  "bert-base": {
    task: "SEQ_CLS",
    config: {
      model_type: "bert",
      vocab_size: 30522,
      hidden_size: 768,
      num_hidden_layers: 12,
      num_attention_heads: 12,
      intermediate_size: 3072,
      max_position_embeddings: 512,
      type_vocab_size: 2,
      hidden_dropout_prob: 0,
      attention_probs_dropout_prob: 0,
      pad_token_id: 0,
    },
  },
};
