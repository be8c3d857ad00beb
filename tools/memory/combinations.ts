/** What is measured against its estimate: models of true shape (tools/shapes) and real ones, in all plans. */
export interface Combination {
  readonly folder: string;
  readonly task: "CAUSAL_LM" | "SEQ_2_SEQ_LM" | "SEQ_CLS";
  readonly batch: number;
  readonly seq: number;
  /** Target tokens, or labelled ones, of a row. */
  readonly target: number;
  readonly plan: "fused" | "checkpointed" | "streamed";
  /** Of linear layers of blocks; default: as the checkpoint has them, computed in f32. */
  readonly load?: "f16" | "bf16" | "int8" | "int4" | "nf4";
  /** Blocks that are computed again; default: all. */
  readonly recompute?: number;
}

const causal = { task: "CAUSAL_LM" } as const;
const seq2seq = { task: "SEQ_2_SEQ_LM" } as const;
const [fused, checkpointed, streamed] = [
  { plan: "fused" },
  { plan: "checkpointed" },
  { plan: "streamed" },
] as const;

export const combinations: readonly Combination[] = [
  { folder: "/tmp/real/minilm", task: "SEQ_CLS", batch: 8, seq: 64, target: 1, ...fused },
  { folder: "/tmp/real/minilm", task: "SEQ_CLS", batch: 8, seq: 128, target: 1, ...checkpointed },
  { folder: "/tmp/real/smollm2", ...causal, batch: 4, seq: 128, target: 128, ...fused },
  { folder: "/tmp/real/smollm2", ...causal, batch: 2, seq: 512, target: 512, ...checkpointed },
  { folder: "/tmp/real/smollm2", ...causal, batch: 4, seq: 512, target: 512, ...streamed },
  { folder: "/tmp/real/smollm2", ...causal, batch: 4, seq: 128, target: 128, ...checkpointed, recompute: 10 },
  { folder: "/tmp/shapes/opt-125m", ...causal, batch: 8, seq: 128, target: 128, ...fused },
  { folder: "/tmp/shapes/opt-125m", ...causal, batch: 4, seq: 256, target: 256, ...streamed },
  { folder: "/tmp/shapes/opt-350m", ...causal, batch: 4, seq: 256, target: 256, ...fused },
  { folder: "/tmp/shapes/opt-350m", ...causal, batch: 1, seq: 512, target: 512, ...checkpointed },
  { folder: "/tmp/shapes/opt-350m", ...causal, batch: 4, seq: 256, target: 256, ...streamed, load: "int8" },
  { folder: "/tmp/shapes/opt-125m", ...causal, batch: 4, seq: 128, target: 128, ...fused, load: "int4" },
  { folder: "/tmp/shapes/opt-125m", ...causal, batch: 4, seq: 128, target: 128, ...streamed, load: "nf4" },
  { folder: "/tmp/shapes/qwen2.5-0.5b", ...causal, batch: 4, seq: 256, target: 256, ...checkpointed },
  { folder: "/tmp/shapes/t5-large", ...seq2seq, batch: 8, seq: 128, target: 16, ...fused },
  { folder: "/tmp/shapes/t5-large", ...seq2seq, batch: 2, seq: 512, target: 64, ...streamed },
  { folder: "/tmp/shapes/t5-large", ...seq2seq, batch: 4, seq: 128, target: 16, ...fused, load: "int8" },
  { folder: "/tmp/shapes/mt0-large", ...seq2seq, batch: 8, seq: 128, target: 16, ...streamed },
];
