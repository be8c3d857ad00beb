import { existsSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { albert } from "./albert.js";
import { bart } from "./bart.js";
import { debertaV2 } from "./deberta_v2.js";
import { eurobert } from "./eurobert.js";
import { gemma } from "./gemma.js";
import { gemma2 } from "./gemma2.js";
import { gemma3 } from "./gemma3.js";
import { gemma3n, normalQuantile } from "./gemma3n.js";
import { gemma4 } from "./gemma4.js";
import { gptNeo } from "./gpt_neo.js";
import { gptj } from "./gptj.js";
import { llama } from "./llama.js";
import { longformer } from "./longformer.js";
import type { TaskType } from "./model.js";
import { modernbert } from "./modernbert.js";
import { HEAD_NORM } from "./parts/decoder_config.js";
import { phi } from "./phi.js";
import { phi3 } from "./phi3.js";
import { qwen3 } from "./qwen3.js";
import { t5 } from "./t5.js";

const tests = new URL("../../tests/", import.meta.url);
const others = JSON.parse(readFileSync(new URL("golden/architectures.json", tests), "utf8"));

/** A model's config.json, of the kit or of the models beside it. */
function kitConfig(model: string): Record<string, unknown> {
  const file = new URL(`kit/models/${model}/config.json`, tests);
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : others[model].config;
}

it("read qwen3's windows and heads, and what Gemma scales and caps", () => {
  const qwen = (more: object): object => qwen3.parse({ ...kitConfig("qwen3"), ...more });
  expect(qwen({})).toMatchObject({
    ...{ headDim: 8, headNorm: HEAD_NORM, qkvBias: false, window: undefined },
  });
  expect(qwen({ head_dim: undefined, attention_bias: true })).toMatchObject({
    headDim: 128,
    qkvBias: true,
  });
  const first = (act: string): string => gemma.parse({ ...kitConfig("gemma"), hidden_act: act }).activation;
  expect([first("gelu"), first("relu")]).toEqual(["gelu_pytorch_tanh", "relu"]);
  const second = (more: object): object =>
    gemma2.parse({ ...kitConfig("gemma2"), layer_types: undefined, ...more });
  const caps = { scoreCap: 50, logitCap: 30, embeddingScale: 4, windowed: [true, false] };
  expect(second({ attn_logit_softcapping: undefined })).toMatchObject(caps);
  const off = { attn_logit_softcapping: null, final_logit_softcapping: null, sliding_window: null };
  expect(second(off)).toMatchObject({ scoreCap: undefined, logitCap: undefined, window: undefined });
  expect(second({ query_pre_attn_scalar: 64 })).toMatchObject({ scoreScale: 0.125 });
  expect(() => second({ use_bidirectional_attention: true })).toThrow(/bidirectional/);
});

it("give Gemma 3 two ropes, in both forms of the config", () => {
  const { rope_theta, rope_local_base_freq, rope_scaling, ...rest } = kitConfig("gemma3");
  expect([rope_theta, rope_local_base_freq, rope_scaling]).toEqual([1000000, 10000, null]);
  const scaling = { rope_type: "linear", factor: 8 };
  const old = gemma3.parse({ ...kitConfig("gemma3"), rope_scaling: scaling });
  const local = { type: "default", theta: 10000 };
  expect(old).toMatchObject({ rope: { type: "linear", theta: 1000000, factor: 8 }, windowRope: local });
  const full_attention = { ...scaling, rope_theta };
  const sliding_attention = { rope_type: "default", rope_theta: rope_local_base_freq };
  const current = { ...rest, rope_parameters: { full_attention, sliding_attention } };
  expect(gemma3.parse(current)).toEqual(old);
});

it("scale BART's embeddings where the config says so, and say how often layers are left out", () => {
  const scale = (on: boolean): number =>
    bart.parse({ ...kitConfig("bart"), scale_embedding: on }).embeddingScale;
  expect([scale(false), scale(true)]).toEqual([1, 4]);
  expect(bart.parse({ ...kitConfig("bart"), decoder_layerdrop: 0.1 }).decoder.layerDrop).toBe(0.1);
});

it("choose by the task which of Longformer's tokens see all, and read its windows in both forms", () => {
  const read = (task: TaskType, more: object = {}): object =>
    longformer.parse({ ...kitConfig("longformer"), ...more }, task);
  expect(read("SEQ_CLS")).toMatchObject({ globals: "first", reaches: [2, 4] });
  expect(read("QUESTION_ANS", { attention_window: 6 })).toMatchObject({
    globals: "question",
    reaches: [3, 3],
  });
  expect(read("TOKEN_CLS")).toMatchObject({ globals: "none" });
  expect(() => read("SEQ_CLS", { attention_window: [4, 3] })).toThrow(/attention_window/);
});

it("know ALBERT's order of shared layers, and the pooling of ModernBERT and EuroBERT", () => {
  expect(albert.parse(kitConfig("albert")).order).toEqual(
    [0, 0, 1, 1].flatMap((group) => [0, 1].map((i) => `albert_layer_groups.${group}.albert_layers.${i}`)),
  );
  expect(modernbert.parse(kitConfig("modernbert"))).toMatchObject({
    ...{ pools: "mean", reach: 2, windowed: [false, true, true] },
    ...{ rope: { theta: 1234 }, windowRope: { theta: 321 } },
  });
  expect(eurobert.parse(kitConfig("eurobert"))).toMatchObject({ pools: "mean", bidirectional: true });
});

it("spread GPT-Neo's kinds of layers over the model", () => {
  const windowed = (more: object): readonly boolean[] =>
    gptNeo.parse({ ...kitConfig("gpt_neo"), num_layers: 4, attention_layers: undefined, ...more }).windowed;
  expect(windowed({ attention_types: [[["global", "local"], 2]] })).toEqual([false, true, false, true]);
  expect(windowed({ attention_types: undefined })).toEqual([false, true, false, true]);
  const mixed = {
    attention_types: [
      [["local"], 1],
      [["global"], 3],
    ],
  };
  expect(windowed(mixed)).toEqual([true, false, false, false]);
  expect(() => windowed({ attention_types: [[["global"], 3]] })).toThrow(/"attention_layers".*a list of 4/);
});

it("turn a part of Phi's channels, and Phi 3's, and refuse what is not there", () => {
  const { partial_rotary_factor, rope_theta, rope_scaling, ...rest } = kitConfig("phi");
  const rope_parameters = { rope_type: "default", rope_theta, partial_rotary_factor };
  expect(phi.parse({ ...rest, rope_parameters })).toEqual(phi.parse(kitConfig("phi")));
  expect(phi.parse({ ...kitConfig("phi"), partial_rotary_factor: 1 }).turned).toBe(4);
  const newer = (more: object): ReturnType<typeof phi3.parse> =>
    phi3.parse({ ...kitConfig("phi3"), ...more });
  expect(newer({ sliding_window: 3 })).toMatchObject({ window: 3, windowed: [true, true] });
  expect(newer({ resid_pdrop: 0.1 })).toMatchObject({ attendedDropout: 0.1, mlpDropout: 0.1 });
  expect(() => newer({ embd_pdrop: 0.1 })).toThrow(/embd_pdrop/);
  const partial = { rope_parameters: { rope_type: "default", rope_theta, partial_rotary_factor: 0.5 } };
  expect(newer(partial).turned).toBe(2);
  const large = { rope_parameters: { ...partial.rope_parameters, partial_rotary_factor: 65536 } };
  expect(() => newer(large)).toThrow(/of heads 4 wide/);
  expect(() => gptj.parse({ ...kitConfig("gptj"), rotary_dim: 6 })).toThrow(/are 6 of heads/);
});

it.each([
  [llama, "llama", { num_hidden_layers: 1e5 }],
  [llama, "llama", { num_hidden_layers: 1e9 }],
  [llama, "llama", { head_dim: 2 ** 31 }],
  [llama, "llama", { hidden_size: 32e6 }],
  [llama, "llama", { vocab_size: 2 ** 53 - 1 }],
  [llama, "llama", { num_labels: 1e9 }],
  [llama, "llama", { max_position_embeddings: 2 ** 53 - 1, rope_scaling: { type: "dynamic", factor: 2 } }],
  [t5, "t5", { relative_attention_max_distance: 2 ** 31 }],
  [t5, "t5", { decoder_start_token_id: 1e9 }],
  [t5, "t5", { num_decoder_layers: 1e6 }],
  [debertaV2, "deberta-v2", { max_position_embeddings: 2 ** 53 - 1 }],
  [debertaV2, "deberta-v2", { max_relative_positions: 1e9 }],
  [debertaV2, "deberta-v2", { pos_att_type: 5 }],
  [gptNeo, "gpt_neo", { attention_layers: undefined, attention_types: [[["global"], 1e9]] }],
  [gptNeo, "gpt_neo", { attention_layers: undefined, attention_types: [false] }],
] as const)("a number without bounds is a fault of its field, %#", (architecture, name, more) => {
  const [field] = Object.keys(more).filter((key) => key !== "attention_layers") as [string];
  const named = field.replace("attention_types", "attention_layers");
  expect(() => architecture.parse({ ...kitConfig(name), ...more })).toThrow(new RegExp(`"${named}"`));
});

it("say which layers of Gemma 3n and 4 read others' keys and values, and how large their caches are", () => {
  const small = gemma3n.parse(kitConfig("gemma3n"));
  expect(small.sources).toEqual([undefined, undefined, 0, 1]);
  expect(small.cache).toEqual({ layers: 2, kvHeads: 2, headDim: 4 });
  expect(() => gemma3n.parse({ ...kitConfig("gemma3n"), num_kv_shared_layers: 4 })).toThrow(/shared_layers/);
  const each = [
    { kvHeads: 2, headDim: 4, inter: 32 },
    { kvHeads: 2, headDim: 8, inter: 32 },
  ];
  expect(gemma4.parse(kitConfig("gemma4"))).toMatchObject({ sizes: each, cache: { layers: 2, each } });
  expect(normalQuantile(0.95)).toBeCloseTo(1.6448536269514722, 12);
  expect(normalQuantile(0.5)).toBe(0);
});

it("make Phi 3 read everything again where a long rope leaves its short context", () => {
  const rope_parameters = { rope_type: "longrope", short_factor: [1, 1], long_factor: [2, 3] };
  const long = { original_max_position_embeddings: 12, rope_parameters };
  expect(phi3.parse({ ...kitConfig("phi3"), ...long }).restartAt).toBe(12);
  expect(phi3.parse(kitConfig("phi3")).restartAt).toBeUndefined();
});
