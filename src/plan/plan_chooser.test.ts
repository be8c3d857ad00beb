import { expect, it } from "vitest";
import { attach } from "../attach/attach.js";
import type { WeightSource } from "../engine/messages.js";
import { LoraConfig } from "../methods/index.js";
import { lora } from "../methods/lora.js";
import { specOf } from "../peft/spec.js";
import { takeInventory } from "../trace/write.js";
import type { BoundWeights } from "../weights/weights.js";
import { budgetFor } from "./choose_plan.js";
import type { BatchSizes } from "./memory/batch.js";
import type { RunPurpose } from "./memory/estimate.js";
import { RunMemory, requestOf } from "./memory/estimate.js";
import type { RunsToPlan } from "./plan_chooser.js";
import { PlanChooser } from "./plan_chooser.js";

const spec = specOf(
  {
    ...{
      model_type: "llama",
      vocab_size: 50,
      hidden_size: 512,
      num_hidden_layers: 6,
      num_attention_heads: 4,
    },
    ...{ intermediate_size: 1024, max_position_embeddings: 512, rms_norm_eps: 1e-5 },
  },
  "CAUSAL_LM",
);
const inventory = takeInventory(spec);
const { adapter } = attach("default", lora, new LoraConfig(), spec, inventory, { seed: 0 });
const sources = new Map<string, WeightSource>();
for (const [name, shape] of inventory.weights)
  sources.set(name, { format: "f32", shape, transposed: false, parts: {} });
const model: BoundWeights = {
  ...{ spec, inventory, sources, packed: new Map(), fresh: [], unused: [], quantization: undefined },
  readF32: async () => new Float32Array(0),
};

type Purpose = Exclude<RunPurpose, "generation">;

const runs = (purpose: Purpose, sizes: BatchSizes, adapters = [adapter]): RunsToPlan => ({
  what: purpose,
  isStep: purpose === "training",
  adapters,
  sizes,
  requests: (largest) => [requestOf(purpose, model, adapters, largest)],
});

/** The budget with which a run just fits by the fused plan. */
function enoughFor(purpose: Purpose, sizes: BatchSizes): number {
  const memory = new RunMemory(model, requestOf(purpose, model, [adapter], sizes));
  return budgetFor(memory.estimate({ plan: "fused", format: "f32" }).bytes);
}

const small = { batch: 2, seq: 16 };
const large = { batch: 10, seq: 96 };

it("a plan serves all that was planned: evaluation may take the plan from training, and training keeps it", async () => {
  const maxMemory = enoughFor("training", small) + (1 << 20);
  const chooser = new PlanChooser(model, { maxMemory });
  expect(await chooser.choose(runs("training", small))).toBe(false);
  expect(chooser.plan.name).toBe("fused");
  expect(await chooser.choose(runs("forward", large))).toBe(true);
  expect(chooser.plan.name).toBe("streamed");
  expect(chooser.estimate!.bytes).toBeLessThan(maxMemory);
  const { plan } = chooser;
  expect(await chooser.choose(runs("training", { batch: 3, seq: 16 }))).toBe(false);
  expect(chooser.plan).toBe(plan);
});

it("what adapters take in training counts in evaluation too", async () => {
  const chooser = new PlanChooser(model, { maxMemory: "2GB" });
  await chooser.choose(runs("forward", large));
  const { trained } = chooser.estimate!.parts;
  await chooser.choose(runs("training", small));
  await chooser.choose(runs("forward", large));
  expect(chooser.estimate!.parts.trained).toBeGreaterThan(3 * trained);
});

it("other adapters that train are planned from the start; a base that is evaluated between steps changes nothing", async () => {
  const other = attach("other", lora, new LoraConfig({ targetModules: ["q_proj"] }), spec, inventory, {
    seed: 0,
  });
  const chooser = new PlanChooser(model, { maxMemory: "2GB" });
  await chooser.choose(runs("training", large));
  const first = chooser.estimate!;
  await chooser.choose(runs("forward", small, []));
  expect(chooser.estimate).toBe(first);
  expect(chooser.covers(runs("training", small))).toBe(true);
  expect(chooser.covers(runs("training", small, [other.adapter]))).toBe(false);
  await chooser.choose(runs("training", small, [other.adapter]));
  expect(chooser.estimate!.bytes).toBeLessThan(first.bytes);
});
