import { describe, expect, it } from "vitest";
import { attach } from "../attach/attach.js";
import type { WeightSource } from "../engine/messages.js";
import { LoraConfig } from "../methods/index.js";
import { lora } from "../methods/lora.js";
import { specOf } from "../peft/spec.js";
import { backwardRequest } from "../plan/requests.js";
import type { TextBatch } from "../trace/feeds.js";
import { takeInventory } from "../trace/write.js";
import type { RuntimeSettings } from "./runtime.js";
import { Runtime } from "./runtime.js";

const spec = specOf(
  {
    ...{ model_type: "llama", vocab_size: 30, hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2 },
    ...{ intermediate_size: 8, max_position_embeddings: 64, rms_norm_eps: 1e-5, tie_word_embeddings: true },
  },
  "CAUSAL_LM",
);
const inventory = takeInventory(spec);
const { adapter } = attach("default", lora, new LoraConfig(), spec, inventory, { seed: 0 });

/** A runtime whose engine never starts. Every weight is ones. */
function open(settings: RuntimeSettings = {}): Runtime {
  const sources = new Map<string, WeightSource>();
  for (const [name, shape] of inventory.weights)
    sources.set(name, { format: "f32", shape, transposed: false, parts: {} });
  const readF32 = async (name: string): Promise<Float32Array> =>
    new Float32Array(inventory.weights.get(name)!.reduce((a, b) => a * b, 1)).fill(1);
  return new Runtime({ spec, inventory, sources, readF32, packed: new Map() } as never, settings);
}

const NORM = "model.norm.weight";
const filled = (value: number): Float32Array => new Float32Array(8).fill(value);

describe("patches of the base", () => {
  it("are what a weight is, until they are restored", async () => {
    const runtime = open();
    const first = await runtime.patch(runtime, "a test", new Map([[NORM, filled(2)]]));
    const second = await runtime.patch(runtime, "another", new Map([[NORM, filled(3)]]));
    expect(runtime.patches.map(({ what }) => what)).toEqual(["a test", "another"]);
    expect(await runtime.weight(NORM)).toEqual(filled(3));
    await runtime.restore(second);
    expect(await runtime.weight(NORM)).toEqual(filled(2));
    await runtime.restore(first);
    expect(await runtime.weight(NORM)).toEqual(filled(1));
    expect(runtime.patches).toEqual([]);
  });

  it("untie a head that gets numbers of its own", async () => {
    const runtime = open();
    const head = "lm_head.weight";
    expect(runtime.isUntied).toBe(false);
    const patch = await runtime.patch(runtime, "a test", new Map([[head, new Float32Array(240).fill(4)]]));
    expect(runtime.isUntied).toBe(true);
    expect((await runtime.weight(head))[0]).toBe(4);
    expect((await runtime.weight("model.embed_tokens.weight"))[0]).toBe(1);
    await runtime.restore(patch);
    expect((await runtime.weight(head))[0]).toBe(1);
  });
});

describe("planMemory", () => {
  const view = { adapters: [adapter], gates: [1] };
  const step = (rows: number, seq: number) => {
    const shape = [rows, seq] as const;
    const ids = { data: new Int32Array(rows * seq).fill(1), shape };
    const batch = { task: "CAUSAL_LM", inputIds: ids, attentionMask: ids, labels: ids } as TextBatch;
    return backwardRequest({ spec, inventory }, view, batch, { seed: 0, step: 0 });
  };

  it("is done for the longest batch; what is smaller needs no other plan", async () => {
    const runtime = open({ maxMemory: "2GB" });
    expect(runtime.memoryEstimate).toBeUndefined();
    await runtime.planMemory([adapter], { batch: 4, seq: 32 });
    const { memoryEstimate } = runtime;
    expect(memoryEstimate?.plan.name).toBe("fused");
    await runtime.planStep(step(2, 16));
    await runtime.planStep(step(4, 32));
    expect(runtime.memoryEstimate).toBe(memoryEstimate);
    await runtime.planStep(step(5, 32));
    expect(runtime.memoryEstimate!.bytes).toBeGreaterThan(memoryEstimate!.bytes);
  });

  it("is done for evaluation and generation by the same call, before anything runs", async () => {
    const runtime = open({ maxMemory: "2GB" });
    const sizes = { batch: 4, seq: 32, target: 8 };
    const bytes: number[] = [];
    for (const purpose of ["loss", "forward", "generation", "training"] as const) {
      await runtime.planMemory([adapter], sizes, purpose);
      bytes.push(runtime.memoryEstimate!.bytes);
    }
    expect(runtime.memoryEstimate?.plan.name).toBe("fused");
    expect(bytes.slice(0, 3)).toEqual(bytes.slice(0, 3).toSorted((a, b) => a - b));
    const { memoryEstimate } = runtime;
    for (const purpose of ["loss", "forward", "generation"] as const)
      await runtime.planMemory([adapter], { batch: 3, seq: 32, target: 8 }, purpose);
    expect(runtime.memoryEstimate).toBe(memoryEstimate);
    await runtime.planMemory([adapter], { batch: 4, seq: 32, target: 5000 }, "generation");
    expect(runtime.memoryEstimate!.bytes).toBeGreaterThan(memoryEstimate!.bytes);
  });

  it("gives what is no step of training the plan that takes least, where none fits", async () => {
    const small = open({ maxMemory: "1MB" });
    await small.planMemory([], { batch: 4, seq: 32 }, "generation");
    expect(small.memoryEstimate?.plan).toMatchObject({ name: "streamed", keep: 0 });
    const runtime = open({ maxMemory: "300MB" });
    await runtime.planMemory([adapter], { batch: 4, seq: 32 });
    const { memoryEstimate } = runtime;
    expect(memoryEstimate?.plan.name).toBe("fused");
    await runtime.planMemory([adapter], { batch: 5000, seq: 32 }, "forward");
    expect(runtime.memoryEstimate).toBe(memoryEstimate);
    await runtime.planMemory([adapter], { batch: 8, seq: 32 });
    expect(runtime.memoryEstimate!.bytes).toBeGreaterThan(memoryEstimate!.bytes);
  });

  it("refuses a budget that nothing fits", async () => {
    const runtime = open({ maxMemory: "1MB" });
    await expect(runtime.planStep(step(2, 16))).rejects.toThrow(/\[option\] A step does not fit into 1MB/);
    await expect(runtime.planStep(step(2, 16))).rejects.toThrow(/does not fit/);
  });

  it("does nothing for a plan that is fixed, or a run that trains nothing", async () => {
    const fixed = open({ plan: "checkpointed" });
    await fixed.planMemory([adapter], { batch: 4, seq: 32 });
    await fixed.planMemory([adapter], { batch: 4, seq: 32 }, "generation");
    expect(fixed.memoryEstimate).toBeUndefined();
    const runtime = open();
    await runtime.planStep({ ...step(2, 16), view: { adapters: [], gates: [] } });
    expect(runtime.memoryEstimate).toBeUndefined();
  });
});

it("a closed runtime runs nothing", async () => {
  const runtime = open();
  await runtime.close();
  await expect(runtime.put({})).rejects.toThrow(/\[engine\] The model was closed/);
});
