import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { LNTuningConfig, LoraConfig, PrefixTuningConfig } from "../methods/index.js";
import { lnTuning } from "../methods/ln_tuning.js";
import { lora } from "../methods/lora.js";
import type { AdapterConfig, Method } from "../methods/method.js";
import { prefixTuning } from "../methods/prefix_tuning.js";
import type { TaskType } from "../models/model.js";
import { specOf } from "../peft/spec.js";
import { takeInventory } from "../trace/write.js";
import type { Attached } from "./attach.js";
import { attach } from "./attach.js";

function put<C extends AdapterConfig>(
  model: string,
  task: TaskType,
  method: Method<C>,
  config: C,
  options: Partial<Parameters<typeof attach>[5]> = {},
): Attached {
  const path = join(import.meta.dirname, "../../tests/kit/models", model, "config.json");
  const spec = specOf(JSON.parse(readFileSync(path, "utf8")), task);
  return attach("default", method, config, spec, takeInventory(spec), { seed: 0, ...options });
}
const shapesOf = ({ adapter }: Attached): [string, readonly number[]][] =>
  [...adapter.entries.values()].map(({ key, shape }) => [key, shape]);

describe("attach", () => {
  it("stands on the layers that are chosen, with parameters of their sizes, named as the file has them", () => {
    const attached = put("llama", "CAUSAL_LM", lora, new LoraConfig({ r: 3, targetModules: ["down_proj"] }));
    const { adapter, warnings } = attached;
    expect(warnings).toEqual([]);
    expect([...adapter.layers.keys()]).toEqual([
      "model.layers.0.mlp.down_proj",
      "model.layers.1.mlp.down_proj",
    ]);
    const json = JSON.parse(
      readFileSync(join(import.meta.dirname, "../../tests/kit/models/llama/config.json"), "utf8"),
    );
    expect(shapesOf(attached).slice(0, 2)).toEqual([
      ["model.layers.0.mlp.down_proj.lora_A.weight", [3, json.intermediate_size]],
      ["model.layers.0.mlp.down_proj.lora_B.weight", [json.hidden_size, 3]],
    ]);
    expect(adapter.entry("model.layers.0.mlp.down_proj.lora_B.weight").data.every((x) => x === 0)).toBe(true);
    expect(adapter.entry("model.layers.0.mlp.down_proj.lora_A.weight").data.some((x) => x !== 0)).toBe(true);
    expect(adapter.json.get("task_type")).toBe("CAUSAL_LM");
  });

  it("starts from its seed, and from nothing else", () => {
    const start = (seed: number): Float32Array =>
      put("llama", "CAUSAL_LM", lora, new LoraConfig(), { seed }).adapter.entry(
        "model.layers.0.self_attn.q_proj.lora_A.weight",
      ).data;
    expect(start(1)).toEqual(start(1));
    expect(start(1)).not.toEqual(start(2));
  });

  it("says in its file which targets it took where none was named", () => {
    const { json } = put("llama", "CAUSAL_LM", lora, new LoraConfig()).adapter;
    expect(json.get("target_modules")).toEqual(["q_proj", "v_proj"]);
  });

  it("a head that the task makes new trains whole, in place of the base's weight", () => {
    const { adapter } = put("bert", "SEQ_CLS", lora, new LoraConfig());
    expect(adapter.json.get("modules_to_save")).toEqual(["classifier", "score"]);
    expect([...adapter.replaced.keys()].toSorted()).toEqual(["classifier.bias", "classifier.weight"]);
    for (const [weight, key] of adapter.replaced)
      expect(adapter.entry(key).key).toContain(weight.split(".")[1]);
  });

  it("trains the biases that it is told to", () => {
    const biases = (bias: "none" | "all" | "lora_only"): number =>
      [...put("bert", "FEATURE_EXTRACTION", lora, new LoraConfig({ bias })).adapter.replaced].length;
    expect(biases("none")).toBe(0);
    expect(biases("lora_only")).toBeGreaterThan(0);
    expect(biases("all")).toBeGreaterThan(biases("lora_only"));
  });

  it("a method without layers has what it adds: virtual tokens, or copies of norms", () => {
    const prefix = put("llama", "CAUSAL_LM", prefixTuning, new PrefixTuningConfig({ numVirtualTokens: 5 }));
    expect(prefix.adapter.prompt).toBe("encoder");
    expect(prefix.adapter.layers.size).toBe(0);
    expect(shapesOf(prefix)[0]?.[1][0]).toBe(5);
    const norms = put("llama", "CAUSAL_LM", lnTuning, new LNTuningConfig());
    expect([...norms.adapter.replaced.keys()]).toContain("model.layers.0.input_layernorm.weight");
  });

  it("adapters of one structure share graphs, and others do not", () => {
    const structure = (config: LoraConfig): string =>
      put("llama", "CAUSAL_LM", lora, config).adapter.structure;
    expect(structure(new LoraConfig({ r: 4, loraAlpha: 1 }))).toBe(structure(new LoraConfig({ r: 8 })));
    expect(structure(new LoraConfig({ useDora: true }))).not.toBe(structure(new LoraConfig()));
  });

  it("refuses what stands nowhere; names of a file that no layer has are a warning", () => {
    const none = new LoraConfig({ targetModules: ["nowhere"] });
    expect(() => put("llama", "CAUSAL_LM", lora, none)).toThrow(/\[adapter-targets\].*nowhere/);
    const some = new LoraConfig({ targetModules: ["q_proj", "nowhere"] });
    const file = { json: {}, floats: new Set<string>() };
    expect(put("llama", "CAUSAL_LM", lora, some, { file }).warnings.join()).toMatch(/nowhere/);
  });
});
