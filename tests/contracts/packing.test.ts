import { describe, expect, it } from "vitest";
import type { Row } from "../../src/index.js";
import {
  AutoModelForCausalLM,
  AutoTokenizer,
  batches,
  getPeftModel,
  LoraConfig,
  PromptTuningConfig,
  Trainer,
} from "../../src/index.js";
import { tokenizerFromFiles } from "../../src/tokenizers/files.js";
import { folderOf, loadBase } from "./kit.js";

// Rows that are packed into one sample are what they are one by one: in attention, in positions, in the loss.

const lengths = [7, 19, 3, 12, 25, 5];

/** Rows one by one: ids and labels of a padded batch. */
function rowsOf(some: readonly number[]) {
  const width = Math.max(...some.map((i) => lengths[i]!));
  const shape = [some.length, width] as const;
  const fill = (value: (row: number, at: number) => number) =>
    Int32Array.from({ length: some.length * width }, (_, k) =>
      value(some[Math.floor(k / width)]!, k % width),
    );
  const id = (row: number, at: number) => (31 * row + at * at + 3 * at) % 89;
  const isReal = (row: number, at: number) => at < lengths[row]!;
  return {
    task: "CAUSAL_LM" as const,
    inputIds: { data: fill((row, at) => (isReal(row, at) ? id(row, at) : 0)), shape },
    attentionMask: { data: fill((row, at) => Number(isReal(row, at))), shape },
    labels: { data: fill((row, at) => (isReal(row, at) && at > 0 ? id(row, at) : -100)), shape },
  };
}

/** The same rows as documents of one. */
function packedOf(some: readonly number[]) {
  const parts = some.map((row) => rowsOf([row]));
  const shape = [1, parts.reduce((n, { inputIds }) => n + inputIds.data.length, 0)] as const;
  const join = (of: (part: (typeof parts)[number], i: number) => Int32Array) => ({
    data: Int32Array.from(parts.flatMap((part, i) => [...of(part, i)])),
    shape,
  });
  return {
    task: "CAUSAL_LM" as const,
    inputIds: join(({ inputIds }) => inputIds.data),
    attentionMask: join(({ inputIds }, i) => inputIds.data.map(() => i + 1)),
    positionIds: join(({ inputIds }) => inputIds.data.map((_, at) => at)),
    labels: join(({ labels }) => labels.data),
  };
}

describe.each(["llama", "gemma2", "mistral", "gpt2", "gpt_neox", "bloom", "qwen3"])("%s", (name) => {
  it("learns from packed rows what it learns from them one by one", async () => {
    const base = await AutoModelForCausalLM.fromPretrained(folderOf(name));
    await using model = getPeftModel(
      base,
      new LoraConfig({ r: 2, initLoraWeights: false, targetModules: "all-linear" }),
    );
    const parameters = model.trainableParameters();
    const all = [0, 1, 2, 3, 4, 5];
    const { loss } = await model.forwardBackward(rowsOf(all), { training: false });
    const apart = Float32Array.from(parameters.gradient);
    parameters.zero();
    const together = await model.forwardBackward(packedOf(all), { training: false });
    expect(together.loss).toBeCloseTo(loss, 5);
    const scale = Math.max(...apart.map(Math.abs));
    const distance = parameters.gradient.map((x, i) => Math.abs(x - apart[i]!));
    expect(Math.max(...distance) / scale).toBeLessThan(1e-4);
  });
});

describe("packing", () => {
  const texts: Row[] = [
    "one two three",
    "four",
    "five six seven eight nine ten ".repeat(20),
    "eleven twelve",
  ].map((text, i) => ({ kind: "text", text, at: `row ${i + 1}` }));

  it("fills samples of maxLength tokens with every token of the texts", async () => {
    const tokenizer = await AutoTokenizer.fromPretrained(folderOf("t5-text"));
    const model = { taskType: "CAUSAL_LM", config: { vocabSize: 1000 } } as const;
    const plain = batches(texts, { tokenizer, model, maxLength: 4096 });
    const packing = batches(texts, { tokenizer, model, maxLength: 24, packing: true, batchSize: 2 });
    expect(packing.report.tokens).toBe(plain.report.tokens);
    expect(packing.report.truncated).toBe(0);
    expect(packing.report.longest).toBe(24);
    for await (const { attentionMask, positionIds } of packing)
      expect(positionIds?.shape).toEqual(attentionMask.shape);
  });

  it("is refused beside prompts, and on models that count the mask", async () => {
    const base = await loadBase("CAUSAL_LM", "llama");
    await using model = getPeftModel(base, new PromptTuningConfig({ numVirtualTokens: 3 }));
    await expect(model.forward(packedOf([0, 1]))).rejects.toThrow(/documents are packed, and a prompt's/);
    await using opt = await loadBase("CAUSAL_LM", "opt");
    await expect(opt.forward(packedOf([0, 1]))).rejects.toThrow(/positions go on over all/);
  });

  it("trains, from the Trainer", async () => {
    const config = {
      tokenizer_class: "BertTokenizer",
      eos_token: "[SEP]",
      pad_token: "[PAD]",
      unk_token: "[UNK]",
    };
    const files: Record<string, string> = {
      "vocab.txt": "[PAD]\n[UNK]\n[SEP]\n[CLS]\none\ntwo\n",
      "tokenizer_config.json": JSON.stringify({ ...config, cls_token: "[CLS]", sep_token: "[SEP]" }),
    };
    const tokenizer = await tokenizerFromFiles(async (file) => files[file]);
    const base = await loadBase("CAUSAL_LM", "llama");
    await using model = getPeftModel(base, new LoraConfig({ r: 2 }));
    const losses: number[] = [];
    const rows = texts.map((row) => ({ ...row, text: "one two" }) as Row);
    for await (const event of new Trainer({
      model,
      tokenizer,
      train: rows,
      packing: true,
      maxLength: 32,
      maxSteps: 6,
      lr: 0.05,
    }).run())
      if (event.type === "step") losses.push(event.loss);
    expect(losses.at(-1)).toBeLessThan(losses[0]!);
  });
});
