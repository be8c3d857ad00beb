import { describe, expect, it } from "vitest";
import { attach } from "../../attach/attach.js";
import { LoraConfig } from "../../methods/index.js";
import { lora } from "../../methods/lora.js";
import { specOf } from "../../peft/spec.js";
import { takeInventory } from "../../trace/write.js";
import { budgetFor } from "../choose_plan.js";
import type { Countable, MemoryChoice, TrainingShape } from "./estimate.js";
import { RunMemory, requestOf } from "./estimate.js";
import { codesIn, memoryTable, smallestBudget, storedIn } from "./table.js";

const HIDDEN = 256;
const LAYERS = 4;
const VOCAB = 1000;
/** q, k, v, o and the three of the MLP. */
const BLOCK = HIDDEN * HIDDEN * 4 + 3 * HIDDEN * 2 * HIDDEN;

const json = {
  model_type: "llama",
  vocab_size: VOCAB,
  hidden_size: HIDDEN,
  intermediate_size: 2 * HIDDEN,
  num_hidden_layers: LAYERS,
  num_attention_heads: 4,
  num_key_value_heads: 4,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
};

function modelOf(): { model: Countable; adapter: TrainingShape["adapters"][number] } {
  const spec = specOf(json, "CAUSAL_LM");
  const inventory = takeInventory(spec);
  const { adapter } = attach("default", lora, new LoraConfig({ r: 8 }), spec, inventory, { seed: 0 });
  return { model: { spec, inventory }, adapter };
}

const { model, adapter } = modelOf();
/** A step is traced once, whatever its sizes. */
const traced = RunMemory.ofStep(model, { adapters: [adapter], batch: 2, seq: 128 });
function bytes(sizes: { batch: number; seq: number }, choice: Partial<MemoryChoice> = {}): number {
  const memory = new RunMemory(model, requestOf("training", model, [adapter], sizes), traced);
  return memory.estimate({ plan: "fused", format: "f32", ...choice }).bytes;
}

it("what is traced of a step serves steps of other sizes", () => {
  const anew = RunMemory.ofStep(model, { adapters: [adapter], batch: 3, seq: 40 });
  expect(bytes({ batch: 3, seq: 40 })).toBe(anew.estimate({ plan: "fused", format: "f32" }).bytes);
});

describe("RunMemory", () => {
  it.each(["fused", "checkpointed", "streamed"] as const)("grows with batch and length: %s", (plan) => {
    expect(bytes({ batch: 4, seq: 128 }, { plan })).toBeGreaterThan(bytes({ batch: 2, seq: 128 }, { plan }));
    expect(bytes({ batch: 4, seq: 256 }, { plan })).toBeGreaterThan(bytes({ batch: 4, seq: 128 }, { plan }));
  });

  it("counts weights to the byte", () => {
    const memory = RunMemory.ofStep(model, { adapters: [adapter], batch: 2, seq: 64 });
    const norms = 2 * HIDDEN;
    const parts = (choice: MemoryChoice) => memory.estimate(choice).parts;
    const all = LAYERS * (BLOCK + norms) + HIDDEN + VOCAB * HIDDEN;
    expect(parts({ plan: "fused", format: "f32" }).mapped).toBe(4 * all);
    expect(parts({ plan: "fused", format: "f32", stored: "bf16" })).toMatchObject({
      weights: 4 * all,
      mapped: 0,
    });
    expect(parts({ plan: "checkpointed", format: "f32" }).blocks).toBe(4 * LAYERS * (BLOCK + norms));
    expect(parts({ plan: "streamed", format: "f32" }).blocks).toBe(2 * 4 * (BLOCK + norms));
    expect(parts({ plan: "streamed", format: "f32", keep: 0 }).blocks).toBe(4 * (BLOCK + norms));
    const scales = 6 * HIDDEN + 2 * 2 * HIDDEN - HIDDEN;
    const int8 = BLOCK + 4 * scales + 4 * norms;
    expect(parts({ plan: "checkpointed", format: "int8" }).blocks).toBe(LAYERS * int8);
  });

  it("counts all adapters that are active", () => {
    const trained = (adapters: TrainingShape["adapters"]) =>
      RunMemory.ofStep(model, { adapters, batch: 2, seq: 64 }).estimate({ plan: "fused", format: "f32" })
        .parts.trained;
    expect(trained([adapter, adapter])).toBe(2 * trained([adapter]));
  });

  it("keeps what it is told to", () => {
    const memory = RunMemory.ofStep(model, { adapters: [adapter], batch: 2, seq: 64 });
    const blocks = (keep: number): number =>
      memory.estimate({ plan: "streamed", format: "f32", keep }).parts.blocks;
    expect(blocks(2 * 4 * (BLOCK + 2 * HIDDEN))).toBe(2 * 4 * (BLOCK + 2 * HIDDEN));
    expect(blocks(Number.POSITIVE_INFINITY)).toBe(LAYERS * 4 * (BLOCK + 2 * HIDDEN));
  });

  it("keeps products where blocks are not computed again", () => {
    const sizes = { batch: 4, seq: 128 };
    const [none, some, all] = [0, 2, LAYERS].map((recompute) =>
      bytes(sizes, { plan: "checkpointed", recompute }),
    );
    expect(none).toBeGreaterThan(some!);
    expect(some).toBeGreaterThan(all!);
  });

  it("is smaller the more a plan gives up", () => {
    const sizes = { batch: 8, seq: 256 };
    const peak = (plan: MemoryChoice["plan"]): number => bytes(sizes, { plan });
    expect(peak("streamed")).toBeLessThan(peak("checkpointed"));
    expect(peak("checkpointed")).toBeLessThan(peak("fused"));
  });
});

describe("memoryTable", () => {
  const shape = { adapters: [adapter], batch: 8, seq: 256 };
  const table = (budget: number) => memoryTable(model, shape, { stored: "f32", budget });

  it("takes the fastest that fits", () => {
    const [row] = table(2 ** 40);
    expect(row!.auto!.plan.name).toBe("fused");
    const { fused, streamed } = row!.plans;
    const less = table(budgetFor(fused.estimate.bytes) - 2)[0]!;
    expect(less.plans.fused.fits).toBe(false);
    expect(less.auto!.plan.name).not.toBe("fused");
    const least = table(budgetFor(streamed.estimate.bytes))[0]!;
    expect(least.auto!.plan).toMatchObject({ name: "streamed", keep: 0 });
  });

  it("says the smallest budget that would do, which does", () => {
    const none = table(1);
    expect(none.every((row) => row.auto === undefined)).toBe(true);
    const smallest = smallestBudget(none);
    expect(table(smallest).some((row) => row.auto !== undefined)).toBe(true);
    expect(table(smallest - 2).every((row) => row.auto === undefined)).toBe(true);
  });
});

describe("storedIn", () => {
  it("reads both names that config.json has had for it", () => {
    expect(storedIn({ torch_dtype: "bfloat16" })).toBe("bf16");
    expect(storedIn({ dtype: "float16" })).toBe("f16");
    expect(storedIn({})).toBe("f32");
  });

  it("is f32 where layers are put together from codes, but for what a format of ours holds", () => {
    const quantized = (config: object): object => ({ torch_dtype: "bfloat16", quantization_config: config });
    const found = [
      { load_in_4bit: true, bnb_4bit_quant_type: "nf4" },
      { load_in_8bit: true },
      { quant_method: "gptq", bits: 4 },
    ];
    expect(found.map((config) => codesIn({ ...quantized(config) }))).toEqual([
      { name: "bitsandbytes nf4", format: "nf4" },
      { name: "bitsandbytes int8", format: "int8" },
      { name: "gptq (4 bits)", format: "f32" },
    ]);
    expect(storedIn({ ...quantized({ quant_method: "gptq" }) })).toBe("f32");
    expect(codesIn({ torch_dtype: "bfloat16" })).toBeUndefined();
  });
});
