import { expect, test } from "vitest";
import { renameKeys, toCamelName, toSnakeName } from "./names.js";

test("names of PEFT and transformers go to camelCase and back", () => {
  expect(toCamelName("lora_alpha")).toBe("loraAlpha");
  expect(toCamelName("init_lora_weights")).toBe("initLoraWeights");
  expect(toCamelName("r")).toBe("r");
  const names = `base_model_name_or_path _name_or_path d_kv beta1 num_hidden_layers layer_norm_2_eps lora_A T_max a_b_c
    init_r use_dora T0_x id2label no_repeat_ngram_size __version__ top_k hidden_size_1x vision_config apply_GS deltaT`;
  for (const name of names.split(/\s+/)) expect(toSnakeName(toCamelName(name))).toBe(name);
});

test("only the keys of the object itself are renamed, keys inside may be data", () => {
  const read = renameKeys({ rank_pattern: { q_proj: 4 }, r: 8 }, toCamelName);
  expect(read).toEqual({ rankPattern: { q_proj: 4 }, r: 8 });
  expect(renameKeys(read, toSnakeName)).toEqual({ rank_pattern: { q_proj: 4 }, r: 8 });
});
