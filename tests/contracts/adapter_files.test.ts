import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openAdapterWeights } from "../../src/hub/checkpoint.js";
import { fromF32 } from "../../src/hub/tensors/dtypes.js";
import { writeSafetensors } from "../../src/hub/tensors/safetensors.js";
import { LoraConfig } from "../../src/methods/index.js";
import type { AdapterConfig } from "../../src/methods/method.js";
import { PreTrainedModel } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import {
  adapted,
  difference,
  folderOf,
  loadBase,
  logitsOf,
  SAME,
  sampleBatch,
  temporaryFolder,
} from "./kit.js";

// Adapter files as others write them: the same adapter by other names, or a message that says what it is.
let base: PreTrainedModel;
beforeAll(async () => {
  base = (await loadBase("CAUSAL_LM", "llama")) as unknown as PreTrainedModel;
});
afterAll(() => base.close());

type Tensors = Map<string, { shape: number[]; data: Float32Array }>;
const batch = sampleBatch("llama");

/** An adapter's folder, and its logits as it was trained. */
async function saved(config: AdapterConfig): Promise<{ folder: string; logits: Float32Array }> {
  const { model } = await adapted(base, config);
  const folder = temporaryFolder();
  await model.savePretrained(folder);
  return { folder, logits: await logitsOf(model, batch) };
}

async function rewrite(
  folder: string,
  change: (tensors: Tensors) => void,
  dtype: "f32" | "f16" | "f64" = "f32",
): Promise<void> {
  const file = await openAdapterWeights(folder);
  const tensors: Tensors = new Map();
  for (const [name, { shape }] of file.tensors)
    tensors.set(name, { shape, data: (await file.readF32(name)).slice() });
  change(tensors);
  const written = new Map(
    [...tensors].map(([name, t]) => [name, { dtype, shape: t.shape, data: fromF32(t.data, dtype) }]),
  );
  await writeSafetensors(join(folder, "adapter_model.safetensors"), written);
}

function rename(to: (name: string) => string): (tensors: Tensors) => void {
  return (tensors) => {
    for (const [name, tensor] of [...tensors]) {
      tensors.delete(name);
      tensors.set(to(name), tensor);
    }
  };
}

function configure(folder: string, change: Record<string, unknown>): void {
  const path = join(folder, "adapter_config.json");
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), ...change }));
}

async function load(folder: string): Promise<{ logits: Float32Array; said: string }> {
  const said: string[] = [];
  const model = new PeftModel(base, (warning) => said.push(`${warning}`));
  await model.loadAdapter(folder, "default");
  model.setAdapter("default");
  const logits = await logitsOf(model, batch);
  await model.unload();
  return { logits, said: said.join("\n") };
}

const config = new LoraConfig({ r: 4, targetModules: ["q_proj", "v_proj"] });
const dora = new LoraConfig({ r: 4, targetModules: ["q_proj"], useDora: true });
const whole = new LoraConfig({ r: 4, targetModules: ["q_proj"], modulesToSave: ["lm_head"] });

describe("tensors by other names", () => {
  it.each<[string, AdapterConfig, (name: string) => string, RegExp | ""]>([
    ["the adapter's name", config, (k) => k.replace(".weight", ".default.weight"), ""],
    [
      "another adapter's name",
      config,
      (k) => k.replace(".weight", ".mine.weight"),
      /the adapter's name "mine"/,
    ],
    [
      "torch.compile",
      config,
      (k) => k.replace("model.model.", "model._orig_mod.model."),
      /"_orig_mod\." of torch\.compile/,
    ],
    ["DDP", config, (k) => `module.${k}`, /"module\." of DistributedDataParallel/],
    ["FSDP", config, (k) => k.replace("layers.", "layers._fsdp_wrapped_module."), /of FSDP/],
    [
      "checkpointing",
      config,
      (k) => k.replace("s.0.", "s.0._checkpoint_wrapped_module."),
      /of activation checkpointing/,
    ],
    ["no prefix", config, (k) => k.replace("base_model.model.", ""), /lack the prefix base_model\.model/],
    ["DoRA's module", dora, (k) => k.replace(/vector$/, "vector.weight"), ""],
    ["DoRA's module and the name", dora, (k) => k.replace(/vector$/, "vector.default.weight"), ""],
    ["a module's wrapper", whole, (k) => k.replace("lm_head.", "lm_head.modules_to_save.default."), ""],
  ])("%s", async (_, adapter, to, said) => {
    const { folder, logits } = await saved(adapter);
    await rewrite(folder, rename(to));
    const loaded = await load(folder);
    expect(difference(loaded.logits, logits)).toBeLessThan(SAME);
    if (said === "") expect(loaded.said).toBe("");
    else expect(loaded.said).toMatch(said);
  });

  it("several adapters: the one of the name that it is loaded under, else which there are", async () => {
    const { folder, logits } = await saved(config);
    await rewrite(folder, (tensors) => {
      for (const [name, tensor] of [...tensors]) {
        tensors.delete(name);
        tensors.set(name.replace(".weight", ".default.weight"), tensor);
        tensors.set(name.replace(".weight", ".other.weight"), {
          ...tensor,
          data: tensor.data.map((x) => -x),
        });
      }
    });
    const model = new PeftModel(base, () => {});
    await expect(model.loadAdapter(folder, "third")).rejects.toThrow(
      /adapters "default", "other", none of them "third"/,
    );
    expect(difference((await load(folder)).logits, logits)).toBeLessThan(SAME);
  });

  it("the base's own weights: those that are the same change nothing, others stand in their place", async () => {
    const { folder, logits } = await saved(config);
    const key = "base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight";
    const name = "model.layers.0.self_attn.q_proj.weight";
    const data = await base.runtime.weight(name);
    await rewrite(folder, (tensors) => tensors.set(key, { shape: [32, 32], data: data.slice() }));
    expect(difference((await load(folder)).logits, logits)).toBe(0);
    await rewrite(folder, (tensors) => tensors.set(key, { shape: [32, 32], data: data.map((x) => 2 * x) }));
    const model = new PeftModel(base, () => {});
    await model.loadAdapter(folder, "default");
    expect(difference(await logitsOf(model, batch), logits)).toBeGreaterThan(1e-3);
    expect(model.trainableParameters().list.some((p) => p.name === name)).toBe(false);
    await model.unload();
  });

  it("what models and wrappers keep beside is named, not refused; the method's own for other layers is", async () => {
    const { folder, logits } = await saved(config);
    await rewrite(folder, (tensors) =>
      tensors.set("base_model.model.model.rotary_emb.inv_freq", { shape: [1], data: Float32Array.of(1) }),
    );
    const loaded = await load(folder);
    expect(loaded.said).toContain("rotary_emb.inv_freq are not used");
    expect(difference(loaded.logits, logits)).toBe(0);
    configure(folder, { target_modules: ["q_proj"] });
    await expect(load(folder)).rejects.toThrow(/4 tensors belong to nothing here: .*v_proj/);
  });

  it.each(["f16", "f64"] as const)("numbers stored as %s", async (dtype) => {
    const { folder, logits } = await saved(config);
    await rewrite(folder, () => {}, dtype);
    expect(difference((await load(folder)).logits, logits)).toBeLessThan(dtype === "f64" ? SAME : 1e-3);
  });
});

describe("configs of others", () => {
  it.each(["eva", "lora_ga", "corda", "loftq", "mica"])(
    "a trained adapter that started by %s",
    async (start) => {
      const { folder, logits } = await saved(config);
      configure(folder, { init_lora_weights: start, loftq_config: { loftq_bits: 4, loftq_iter: 1 } });
      const loaded = await load(folder);
      expect(difference(loaded.logits, logits)).toBe(0);
      if (start === "eva" || start === "mica") expect(loaded.said).toBe("");
      else expect(loaded.said).toMatch(/trained on a base/);
    },
  );

  it("fields of newer versions are named and ignored", async () => {
    const { folder, logits } = await saved(config);
    configure(folder, { use_next: true, runtime_config: {}, auto_mapping: { base_model_class: "X" } });
    const loaded = await load(folder);
    expect(difference(loaded.logits, logits)).toBe(0);
    expect(loaded.said).toMatch(/unknown keys, which are ignored: use_next,runtime_config/);
  });

  it("patterns and exclusions that match nothing are said", async () => {
    const { folder } = await saved(config);
    configure(folder, {
      alpha_pattern: { "base_model.model.model.layers.0.self_attn.q_proj": 32, "1.*q_proj": 8 },
      exclude_modules: ["nowhere"],
    });
    const { said } = await load(folder);
    expect(said).toMatch(/alphaPattern \["base_model[^"]*q_proj"\] match no adapted layer/);
    expect(said).toMatch(/excludeModules \["nowhere"\] exclude no layer/);
    configure(folder, { target_modules: ".*self_attn(\\.[qv]_proj)?", exclude_modules: null });
    expect((await load(folder)).said).toMatch(
      /match model\.layers\.0\.self_attn, .* too, which are no layers: Python's PEFT refuses/,
    );
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    [
      "patterns that Python refuses",
      { rank_pattern: { "(?i)q_proj": 4 } },
      /rank_pattern has the pattern "\(\?i\)q_proj".*not at the start/,
    ],
    [
      "patterns without end",
      { target_modules: "(((.+)+)+)+!" },
      /adapter_config\.json": target_modules has the pattern.*steps/,
    ],
    [
      "block names that are no pattern",
      { layers_to_transform: [0], layers_pattern: "[" },
      /layers_pattern has the pattern "\["/,
    ],
    ["ranks beyond any layer", { r: 1_000_000_000 }, /adapter_config\.json": r is 1000000000/],
  ])("refuses, naming file and field: %s", async (_, change, message) => {
    const { folder } = await saved(config);
    configure(folder, change);
    await expect(load(folder)).rejects.toThrow(message);
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ["MLX", { fine_tune_type: "lora", num_layers: 8, lora_parameters: { rank: 8 } }, /adapter of MLX/],
    ["a model", { architectures: ["LlamaForCausalLM"], model_type: "llama" }, /config\.json of a model/],
    ["AdapterHub", { config: { architecture: "lora" }, model_class: "LlamaModel" }, /adapters library/],
    ["nothing", { r: 8, lora_alpha: 8 }, /names no peft_type/],
    ["a method of Python's", { peft_type: "XLORA" }, /XLORA.*merge it in Python/],
  ])("says what lies in an adapter's place: %s", async (_, json, message) => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "adapter_config.json"), JSON.stringify(json));
    await expect(load(folder)).rejects.toThrow(message);
  });

  it("a vocabulary that was enlarged: said, and loaded on a base of as many rows", async () => {
    const { folder, logits } = await saved(whole);
    await rewrite(folder, (tensors) => {
      const head = tensors.get("base_model.model.lm_head.weight");
      const data = new Float32Array(100 * 32);
      data.set(head?.data ?? []);
      tensors.set("base_model.model.lm_head.weight", { shape: [100, 32], data });
    });
    await expect(load(folder)).rejects.toThrow(
      /vocabulary of 100 tokens, this base has 96.*config: \{ vocab_size: 100 \}/,
    );
    const larger = await PreTrainedModel.load("CAUSAL_LM", folderOf("llama"), {
      config: { vocab_size: 100 },
    });
    const model = await PeftModel.fromPretrained(larger, folder);
    const rows = await logitsOf(model as unknown as PeftModel, batch);
    const old = rows.filter((_, i) => i % 100 < 96);
    expect(difference(old, logits)).toBeLessThan(SAME);
    expect(rows.filter((_, i) => i % 100 >= 96).every((x) => x === 0)).toBe(true);
    await model.close();
  });

  it("a base of another vocabulary: rows that both have stay, new ones are their mean", async () => {
    const at = folderOf("llama");
    const load = (vocab_size: number): Promise<PreTrainedModel> =>
      PreTrainedModel.load("CAUSAL_LM", at, { config: { vocab_size } }) as Promise<PreTrainedModel>;
    const old = await base.runtime.weight("model.embed_tokens.weight");
    const [more, less] = [await load(98), await load(90)];
    const rows = await more.runtime.weight("model.embed_tokens.weight");
    expect(rows.subarray(0, 96 * 32)).toEqual(old);
    const mean = Array.from({ length: 96 }, (_, i) => old[i * 32 + 5] ?? 0).reduce((a, b) => a + b) / 96;
    expect(rows[97 * 32 + 5]).toBeCloseTo(mean, 6);
    expect(await less.runtime.weight("lm_head.weight")).toHaveLength(90 * 32);
    await more.close();
    await less.close();
  });

  it("tensors of others, by their names", async () => {
    const { folder } = await saved(config);
    await rewrite(
      folder,
      rename((k) => k.replace("base_model.model.model.", "lora_unet_").replace(".lora_A.", ".lora_down.")),
    );
    await expect(load(folder)).rejects.toThrow(/Kohya/);
    rmSync(folder, { recursive: true });
  });
});
