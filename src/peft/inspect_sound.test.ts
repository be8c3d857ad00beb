import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { LoraConfig } from "../methods/lora_config.js";
import { inspect } from "./inspect.js";

// The public sizes of models that hear, by their config.json alone.

function folderWith(config: object): string {
  const folder = mkdtempSync(join(tmpdir(), "peft-sound-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  return folder;
}

const whisperLargeV2 = {
  ...{ architectures: ["WhisperForConditionalGeneration"], model_type: "whisper", is_encoder_decoder: true },
  ...{ d_model: 1280, encoder_layers: 32, encoder_attention_heads: 20, encoder_ffn_dim: 5120 },
  ...{ decoder_layers: 32, decoder_attention_heads: 20, decoder_ffn_dim: 5120, vocab_size: 51865 },
  ...{ num_mel_bins: 80, max_source_positions: 1500, max_target_positions: 448 },
  ...{ decoder_start_token_id: 50258, pad_token_id: 50257 },
};

const xlsR300m = {
  ...{ architectures: ["Wav2Vec2ForCTC"], model_type: "wav2vec2", hidden_size: 1024, num_hidden_layers: 24 },
  ...{ num_attention_heads: 16, intermediate_size: 4096, do_stable_layer_norm: true, conv_bias: true },
  ...{ feat_extract_norm: "layer", vocab_size: 32, pad_token_id: 0, mask_time_prob: 0.075 },
};

it("Whisper large-v2: 15,728,640 trainable with r 32 on q_proj and v_proj, and int8 fits 4 GB", async () => {
  const { parameters, adapter, memory, taskType } = await inspect(folderWith(whisperLargeV2), {
    adapter: new LoraConfig({ r: 32, targetModules: ["q_proj", "v_proj"] }),
    memory: { batchSize: 1, maxMemory: "4GB" },
  });
  expect([taskType, parameters, adapter?.trainable]).toEqual(["SPEECH_SEQ_2_SEQ", 1_543_304_960, 15_728_640]);
  expect([memory?.length, memory?.dims, memory?.targetLength]).toEqual([undefined, {}, 128]);
  expect(memory?.table.find(({ format }) => format === "int8")?.auto).toBeDefined();
}, 60_000);

it("XLS-R 300M: 315 million parameters, and a step of ten seconds in int8 fits 3 GB", async () => {
  const { parameters, adapter, memory, taskType } = await inspect(folderWith(xlsR300m), {
    adapter: new LoraConfig({ r: 8, targetModules: ["q_proj", "v_proj"] }),
    memory: { batchSize: 1, maxMemory: "3GB" },
  });
  // 24 layers, two projections each; and lm_head, which trains whole
  const lora = 24 * 2 * 8 * (1024 + 1024);
  expect([taskType, parameters, adapter?.trainable]).toEqual(["CTC", 315_471_520, lora + 32 * 1024 + 32]);
  expect(memory?.dims).toEqual({ samples: 160_000 });
  expect(memory?.table.find(({ format }) => format === "int8")?.auto).toBeDefined();
}, 60_000);
