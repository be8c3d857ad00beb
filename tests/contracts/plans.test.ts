import { afterEach, describe, expect, it } from "vitest";
import { LoraConfig, PrefixTuningConfig, PromptEncoderConfig } from "../../src/methods/index.js";
import type { AdapterConfig } from "../../src/methods/method.js";
import type { LoadOptions } from "../../src/peft/base_model.js";
import { PreTrainedModel } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import type { Inputs } from "../../src/trace/feeds.js";
import { disturb, folderOf, type Kind, sampleBatch, TASKS } from "./kit.js";

// Every way of running a step gives the same gradients, with dropout on, and generates the same.

const open: PreTrainedModel[] = [];
afterEach(async () => {
  for (const base of open.splice(0)) await base.close();
});

const RATES = { dropout_rate: 0.2, attention_dropout: 0.1, hidden_dropout_prob: 0.1 };

async function modelOf(kind: Kind, config: AdapterConfig, options: LoadOptions): Promise<PeftModel> {
  const base = await PreTrainedModel.load(TASKS[kind], folderOf(kind), {
    threads: 1,
    config: RATES,
    ...options,
  });
  open.push(base as PreTrainedModel);
  const model = new PeftModel(base as PreTrainedModel);
  model.addAdapter("default", config);
  await model.ready();
  disturb(model.activeAdapter);
  return model;
}

async function step(model: PeftModel, batch: Inputs): Promise<{ loss: number; gradient: Float32Array }> {
  const { loss } = await model.forwardBackward(batch);
  const gradient = model.trainableParameters().gradient.slice();
  model.trainableParameters().zero();
  return { loss, gradient };
}

function worst(a: Float32Array, b: Float32Array): number {
  const scale = a.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
  return a.reduce((m, x, i) => Math.max(m, Math.abs(x - b[i]!)), 0) / scale;
}

const methods: readonly [string, () => AdapterConfig][] = [
  [
    "LoRA on all linear layers",
    () => new LoraConfig({ r: 4, loraDropout: 0.3, targetModules: "all-linear" }),
  ],
  ["LoRA on the upper layer", () => new LoraConfig({ r: 4, layersToTransform: [1] })],
  ["LoRA of several ranks", () => new LoraConfig({ r: 4, rankPattern: { "1.*": 2 } })],
  ["P-tuning", () => new PromptEncoderConfig({ numVirtualTokens: 3, encoderHiddenSize: 8 })],
  ["prefix tuning", () => new PrefixTuningConfig({ numVirtualTokens: 3 })],
];

const plans: readonly (readonly [string, LoadOptions])[] = [
  ["computed again", { plan: "checkpointed" }],
  ["weights read ahead", { plan: "streamed" }],
  ["products kept", { plan: "streamed", recompute: 0 }],
  ["in part", { plan: "checkpointed", recompute: 1 }],
];

describe.each(["t5", "llama", "bert"] as const)("%s", (kind) => {
  it.each(methods)("has the same gradients in every plan with %s", async (_, config) => {
    const batch = sampleBatch(kind);
    const expected = await step(await modelOf(kind, config(), {}), batch);
    expect(worst(expected.gradient, new Float32Array(expected.gradient.length))).toBe(1);
    for (const [name, options] of plans) {
      const { loss, gradient } = await step(await modelOf(kind, config(), options), batch);
      expect(Math.abs(loss - expected.loss), name).toBeLessThan(1e-5 * Math.abs(expected.loss));
      expect(worst(expected.gradient, gradient), name).toBeLessThan(1e-5);
    }
  });

  it.skipIf(kind === "bert")("generates the same in every plan", async () => {
    const prompt = { inputIds: [[5, 7, 9, 11, 3]], attentionMask: [[1, 1, 1, 1, 1]] };
    const config = (): AdapterConfig => new LoraConfig({ r: 4 });
    const settings = { maxNewTokens: 8, numBeams: 2 };
    const expected = await (await modelOf(kind, config(), {})).generate(prompt, settings);
    for (const [name, options] of plans)
      expect(await (await modelOf(kind, config(), options)).generate(prompt, settings), name).toEqual(
        expected,
      );
  });
});
