import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as api from "../../src/index.js";

// What users of plain JavaScript write: an option that does not exist, an argument of another kind. Types are
// off here.
// biome-ignore lint/suspicious/noExplicitAny: the compiler would refuse every line of this file
type Untyped = any;
const P = api as unknown as Record<string, Untyped>;
const model = "tests/kit/models/t5-text";
const folder = mkdtempSync(join(tmpdir(), "peft-arguments-"));
const rows = [{ kind: "prompt", at: "row 1", prompt: "Hello", target: "World" }];
let base: Untyped;
let adapted: Untyped;
let tokenizer: Untyped;
let batch: Untyped;

beforeAll(async () => {
  base = await P["AutoModelForSeq2SeqLM"].fromPretrained(model, { threads: 1 });
  tokenizer = await P["AutoTokenizer"].fromPretrained(model);
  adapted = P["getPeftModel"](base, new P["LoraConfig"]({ r: 2 }));
  for await (const one of P["batches"](rows, { tokenizer, model: adapted })) batch = one;
});
afterAll(async () => {
  await base.close();
  rmSync(folder, { recursive: true, force: true });
});

const trainer = (options: object): unknown =>
  new P["Trainer"]({ model: adapted, tokenizer, train: rows, ...options });

/** An option that the call does not have, and the one that is meant. */
const unknown: [string, () => unknown, string][] = [
  ["AutoTokenizer", () => P["AutoTokenizer"].fromPretrained(model, { cache_dir: folder }), "cacheDir"],
  ["AutoModel", () => P["AutoModel"].fromPretrained(model, { load_in_8bit: true }), "load"],
  ["AutoModel", () => P["AutoModel"].fromPretrained(model, { num_labels: 3 }), "config"],
  [
    "getPeftModel",
    () => P["getPeftModel"](base, new P["LoraConfig"](), { adapter_name: "a" }),
    "adapterName",
  ],
  ["addAdapter", () => adapted.addAdapter("b", new P["LoraConfig"](), { sead: 1 }), "seed"],
  ["PeftModel", () => P["PeftModel"].fromPretrained(base, folder, { is_trainable: true }), "isTrainable"],
  ["loadAdapter", () => adapted.loadAdapter(folder, "b", { is_trainable: true }), "isTrainable"],
  ["LoraConfig", () => new P["LoraConfig"]({ alpha: 16 }), "loraAlpha"],
  ["tokenizer", () => tokenizer("a", { max_length: 3 }), "maxLength"],
  ["tokenizer", () => tokenizer("a", { return_offsets_mapping: true }), "returnOffsets"],
  ["decode", () => tokenizer.decode([1], { skip_special_tokens: true }), "skipSpecialTokens"],
  [
    "applyChatTemplate",
    () => tokenizer.applyChatTemplate([{ role: "user" }], { add_generation_prompt: true }),
    "addGenerationPrompt",
  ],
  ["loadDataset", () => P["loadDataset"]("x.csv", { label: "team" }), "columns"],
  ["batches", () => P["batches"](rows, { tokenizer, model: adapted, batch_size: 2 }), "batchSize"],
  [
    "encodeRows",
    () => P["encodeRows"](rows, { tokenizer, task: "CAUSAL_LM", max_seq_length: 2 }),
    "maxLength",
  ],
  ["split", () => P["split"](rows, { test_size: 0.5 }), "validation"],
  ["forward", () => adapted.forward(batch, { adapter_names: ["default"] }), "adapterNames"],
  ["forwardBackward", () => adapted.forwardBackward(batch, { train: true }), "training"],
  ["generate", () => adapted.generate(tokenizer("a"), { max_new_tokens: 2 }), "maxNewTokens"],
  ["generate", () => adapted.generate(tokenizer("a"), { maxTokens: 2 }), "maxNewTokens"],
  ["savePretrained", () => adapted.savePretrained(folder, { adapters: ["default"] }), "selectedAdapters"],
  ["savePretrained of a base", () => base.savePretrained(folder, { torch_dtype: "f16" }), "dtype"],
  ["saveMerged", () => adapted.saveMerged(folder, { safe_merge: true }), "safe"],
  ["pushFolder", () => P["pushFolder"](folder, "a/b", { commit_message: "x" }), "message"],
  ["AdamW", () => new P["AdamW"](adapted.trainableParameters(), { learning_rate: 1 }), "lr"],
  ["Trainer", () => trainer({ learningRate: 1e-6 }), "lr"],
  ["Trainer", () => trainer({ num_train_epochs: 9 }), "epochs"],
  ["Trainer", () => trainer({ per_device_train_batch_size: 2 }), "batchSize"],
  ["Trainer", () => trainer({ gradient_accumulation_steps: 2 }), "gradientAccumulationSteps"],
  ["Trainer", () => trainer({ warmup_ratio: 0.1, weight_decay: 0 }), "warmupRatio.*weightDecay"],
  ["Trainer", () => trainer({ eval_steps: 1, save_steps: 1 }), "evaluateEvery.*saveEvery"],
  ["Trainer", () => trainer({ eval_dataset: rows }), "validation"],
  ["Trainer", () => trainer({ epoch: 2 }), "epochs"],
  ["earlyStopping", () => trainer({ earlyStopping: { pacience: 2 } }), "patience"],
  ["evaluate", () => P["evaluate"](adapted, rows, { tokenizer, batch_size: 2 }), "batchSize"],
];

test.each(unknown)("%s names the option that is meant", async (_, call, meant) => {
  const error = await Promise.resolve()
    .then(call)
    .catch((e: unknown) => e);
  expect(error).toBeInstanceOf(api.PeftError);
  expect((error as api.PeftError).fix).toMatch(new RegExp(`\\b${meant}\\b`));
});

test("an adapter's head for another number of labels is told with the load that fits", async () => {
  const wide = await P["AutoModelForSequenceClassification"].fromPretrained(
    "tests/kit/models/llama-seq_cls",
    {
      config: { num_labels: 7, id2label: undefined },
    },
  );
  const adapter = "tests/kit/cases/llama-seq_cls--lora";
  const error = await P["PeftModel"].fromPretrained(wide, adapter).catch((e: unknown) => e);
  expect(error).toMatchObject({ code: "adapter-mismatch" });
  expect(error.what).toMatch(/a head for 4 labels, the model one for 7/);
  expect(error.fix).toContain("config: { num_labels: 4 }");
});

/** Arguments of another kind, and what the fix says. */
const wrong: [string, () => unknown, RegExp][] = [
  ["a promise of a base", () => P["getPeftModel"](Promise.resolve(base), new P["LoraConfig"]()), /await/],
  ["a model with adapters", () => P["getPeftModel"](adapted, new P["LoraConfig"]()), /addAdapter/],
  ["a plain object", () => P["getPeftModel"](base, { r: 8 }), /new LoraConfig/],
  ["a promise to load onto", () => P["PeftModel"].fromPretrained(Promise.resolve(base), folder), /await/],
  ["no name", () => P["AutoModelForCausalLM"].fromPretrained(undefined), /fromPretrained\(/],
  ["a model in place of parameters", () => new P["AdamW"](adapted), /trainableParameters\(\)/],
  ["a promise of parameters", () => new P["AdamW"](Promise.resolve(adapted.trainableParameters())), /await/],
  ["a text", () => adapted.generate("Hello"), /tokenizer\("Hello"\)/],
  ["texts", () => adapted.generate(["Hello"]), /tokenizer\("Hello"\)/],
  ["ids of one prompt", () => adapted.generate([1, 2]), /tokenizer\("Hello"\)/],
  ["a flat row", () => base.generate({ inputIds: [1, 2] }), /tokenizer\("Hello"\)/],
  ["an encoding", () => adapted.forward(tokenizer("Hello")), /batches\(rows/],
  ["an encoding to train on", () => adapted.forwardBackward(tokenizer("Hello")), /batches\(rows/],
  ["an encoding for a base", () => base.forward(tokenizer("Hello")), /batches\(rows/],
  ["a number", () => tokenizer(5), /tokenizer\("Hello"\)/],
  ["a chat", () => tokenizer([{ role: "user", content: "a" }]), /applyChatTemplate/],
  ["a promise of rows", () => P["batches"](Promise.resolve(rows), { tokenizer, model: adapted }), /await/],
  ["a path to train on", () => trainer({ train: "x.csv" }), /loadDataset/],
  ["a promise of a tokenizer", () => trainer({ tokenizer: Promise.resolve(tokenizer) }), /await/],
  ["a promise of a model", () => trainer({ model: Promise.resolve(adapted) }), /await/],
  ["a path", () => P["evaluate"](adapted, "x.csv", { tokenizer }), /loadDataset/],
  ["a promise of a model", () => P["evaluate"](Promise.resolve(adapted), rows, { tokenizer }), /await/],
  ["an object in place of a path", () => P["loadDataset"]({ path: "a" }), /loadDataset\("/],
];

test.each(wrong)("%s is a PeftError that says what to write", async (_, call, fix) => {
  const error = await Promise.resolve()
    .then(call)
    .catch((e: unknown) => e);
  expect(error).toBeInstanceOf(api.PeftError);
  expect((error as api.PeftError).fix).toMatch(fix);
});
