import { describe, expectTypeOf, it } from "vitest";
import type { Batch, PreTrainedModel } from "../src/index.js";
import {
  AutoModelForCausalLM,
  AutoModelForSequenceClassification,
  batches,
  getPeftModel,
  IA3Config,
  LoraConfig,
  type PeftModel,
  PrefixTuningConfig,
  PromptEncoderConfig,
  PromptTuningConfig,
} from "../src/index.js";

// What must not compile. `npm run types` checks each line below a @ts-expect-error: where it compiles after
// all, that is a fault. Nothing here runs: the functions are never called.
declare const causal: PreTrainedModel<"CAUSAL_LM">;
declare const classifier: PeftModel<"SEQ_CLS">;
declare const causalBatch: Batch<"CAUSAL_LM">;
declare const pairBatch: Batch<"SEQ_2_SEQ_LM">;
declare const labelled: Batch<"SEQ_CLS">;
declare const tokenizer: Parameters<typeof batches>[1]["tokenizer"];

describe("types", () => {
  it("refuse a wrong option's name or value", () => {
    const refused = (): unknown => [
      // @ts-expect-error: loraAlpha, not alpha
      new LoraConfig({ alpha: 16 }),
      // @ts-expect-error: camelCase in code
      new LoraConfig({ lora_alpha: 16 }),
      // @ts-expect-error: a number
      new LoraConfig({ r: "8" }),
      // @ts-expect-error: no such task
      new LoraConfig({ taskType: "CAUSAL" }),
      // @ts-expect-error: no such start
      new LoraConfig({ initLoraWeights: "xavier" }),
      // @ts-expect-error: IA3 has no rank
      new IA3Config({ r: 8 }),
      // @ts-expect-error: numVirtualTokens
      new PromptTuningConfig({ virtualTokens: 8 }),
      // @ts-expect-error: prefixProjection is true or false
      new PrefixTuningConfig({ prefixProjection: "yes" }),
      // @ts-expect-error: MLP or LSTM
      new PromptEncoderConfig({ encoderReparameterizationType: "GRU" }),
    ];
    expectTypeOf(refused).toBeFunction();
  });

  it("refuse a wrong option of loading, running and saving", () => {
    const refused = async (model: PeftModel<"CAUSAL_LM">): Promise<unknown> => [
      // @ts-expect-error: threads, not thread
      await AutoModelForCausalLM.fromPretrained("x", { thread: 2 }),
      // @ts-expect-error: maxNewTokens
      await model.generate({ inputIds: [[1]] }, { maxTokens: 3 }),
      // @ts-expect-error: rows of ids
      await model.generate({ inputIds: [1] }),
      // @ts-expect-error: training, not train
      await model.forwardBackward(causalBatch, { train: true }),
      // @ts-expect-error: selectedAdapters
      await model.savePretrained("out", { adapters: ["a"] }),
      // @ts-expect-error: adapterName
      getPeftModel(causal, new LoraConfig(), { name: "mine" }),
      // @ts-expect-error: batchSize, not batch
      batches([], { tokenizer, model, batch: 8 }),
    ];
    expectTypeOf(refused).toBeFunction();
  });

  it("refuse a batch of another task, and take the right one", () => {
    const refused = async (): Promise<unknown> => [
      // @ts-expect-error: a batch of pairs
      await causal.forward(pairBatch),
      // @ts-expect-error: a batch of pairs
      await causal.forwardBackward(pairBatch),
      // @ts-expect-error: no class labels
      await classifier.forwardBackward(causalBatch),
      await causal.forwardBackward(causalBatch),
      await classifier.forward(labelled),
    ];
    expectTypeOf(refused).toBeFunction();
    expectTypeOf<Batch<"SEQ_CLS">>().not.toExtend<Batch<"TOKEN_CLS">>();
  });

  it("know a model's task", () => {
    const model = (): PeftModel<"CAUSAL_LM"> => getPeftModel(causal, new LoraConfig());
    // @ts-expect-error: a language model is no classifier
    const wrong = (): PeftModel<"SEQ_CLS"> => getPeftModel(causal, new LoraConfig());
    // @ts-expect-error: a language model is no classifier
    const base = async (): Promise<PreTrainedModel<"SEQ_CLS">> => AutoModelForCausalLM.fromPretrained("x");
    const right = async (): Promise<PreTrainedModel<"SEQ_CLS">> =>
      AutoModelForSequenceClassification.fromPretrained("x");
    expectTypeOf([model, wrong, base, right]).toBeArray();
    expectTypeOf<PeftModel<"CAUSAL_LM">["taskType"]>().toEqualTypeOf<"CAUSAL_LM">();
  });

  it("give batches of the model's task", () => {
    const made = (model: PeftModel<"SEQ_CLS">): AsyncIterable<Batch<"SEQ_CLS">> =>
      batches([], { tokenizer, model, batchSize: 2 });
    expectTypeOf(made).toBeFunction();
  });
});
