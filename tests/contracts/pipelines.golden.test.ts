import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import {
  type PipelineName,
  type PipelineOptions,
  pipeline,
  type TokenClassificationOptions,
} from "../../src/index.js";
import { CLOSE, folderOf, temporaryFolder } from "./kit.js";

// What transformers' pipelines and sentence-transformers say of the kit's models: tools/golden/pipelines.py.
const golden = JSON.parse(readFileSync(join(import.meta.dirname, "../golden/pipelines.json"), "utf8"));
type Files = Readonly<Record<string, unknown>>;

/** A model of the kit with a tokenizer beside it, and other files. */
function folderWith(model: string, tokenizer: string, files: Files = {}, config: Files = {}): string {
  const folder = temporaryFolder();
  cpSync(folderOf(model), folder, { recursive: true });
  const json = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
  const all = { ...golden.tokenizers[tokenizer], ...files, "config.json": { ...json, ...config } };
  for (const [name, content] of Object.entries(all)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), JSON.stringify(content));
  }
  return folder;
}

async function open<N extends PipelineName>(name: N, folder: string, options: PipelineOptions = {}) {
  const pipe = await pipeline(name, folder, { threads: 1, ...options });
  onTestFinished(() => pipe.close());
  return pipe;
}

interface Scored {
  readonly score: number;
}

/** The same but for the last digits of scores. */
function expectScored(found: readonly Scored[], expected: readonly Scored[], about: string): void {
  const close = expected.map((one) => ({ ...one, score: expect.closeTo(one.score, 4) }));
  expect(found, about).toEqual(close);
}

/** Python counts code points, JavaScript UTF-16 units. */
const unit = (text: string, point: number): number => [...text].slice(0, point).join("").length;

test.each(
  golden.labels as { model: string; inputs: { text: string; text_pair?: string }[]; outputs: Scored[][] }[],
)("labels of $model", async ({ model, inputs, outputs }) => {
  const classify = await open("text-classification", folderWith(model, "wordpiece"));
  const asked = inputs.map(({ text, text_pair }) => ({ text, textPair: text_pair }));
  const found = await classify(asked, { topK: 10, batchSize: 4 });
  for (const [i, labels] of found.entries()) expectScored(labels, outputs[i]!, asked[i]!.text);
  if (model === "bert") expect((await classify(asked[0]!)).length).toBe(1);
});

test.each(["wordpiece", "unigram"])("entities, with offsets, of a tokenizer of kind %s", async (kind) => {
  const id2label = Object.fromEntries(Object.entries(golden.tags));
  const config = { id2label, label2id: undefined };
  const folder = folderWith("bert-token_cls", kind, {}, config);
  loudHead(folder);
  const find = await open("ner", folder);
  for (const { tokenizer, text, strategy, outputs } of golden.entities) {
    if (tokenizer !== kind) continue;
    const aggregationStrategy = strategy as NonNullable<TokenClassificationOptions["aggregationStrategy"]>;
    const expected = outputs.map((e: Scored & Record<string, string & number>) => {
      const [start, end] = [unit(text, e["start"]!), unit(text, e["end"]!)];
      return {
        label: e["entity_group"] ?? e["entity"],
        score: e.score,
        start,
        end,
        text: text.slice(start, end),
      };
    });
    expectScored(await find(text, { aggregationStrategy }), expected, `${strategy}: ${text}`);
  }
});

/** The script's head: three times what the kit has. */
function loudHead(folder: string): void {
  const path = join(folder, "model.safetensors");
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
  const [start, end] = header["classifier.weight"].data_offsets;
  for (let at = 8 + length + start; at < 8 + length + end; at += 4)
    bytes.writeFloatLE(3 * bytes.readFloatLE(at), at);
  writeFileSync(path, bytes);
}

test("answers, in windows, with and without one that says that there is none", async () => {
  const ask = await open("question-answering", folderWith("bert-question_ans", "wordpiece"));
  for (const { question, context, options, outputs } of golden.answers) {
    const found = await ask(
      { question, context },
      {
        maxSeqLen: options.max_seq_len,
        docStride: options.doc_stride,
        topK: options.top_k,
        maxAnswerLen: options.max_answer_len,
        handleImpossibleAnswer: options.handle_impossible_answer,
      },
    );
    // Python fills up with empty answers of score 0 where there are fewer spans than were asked for.
    const expected = (outputs as (Scored & { start: number; end: number; answer: string })[])
      .filter(({ score }) => score > 0)
      .map((one) => ({ ...one, start: unit(context, one.start), end: unit(context, one.end) }));
    expectScored(found, expected, `${question} ${JSON.stringify(options)}`);
  }
});

test("vectors, pooled and normalized as modules.json says", async () => {
  for (const { files, outputs } of golden.vectors.cases) {
    const embed = await open("feature-extraction", folderWith("bert-feature_extraction", "wordpiece", files));
    const found = await embed(golden.vectors.texts as string[]);
    for (const [i, vector] of found.entries())
      for (const [k, x] of vector.entries()) expect(Math.abs(x - outputs[i][k])).toBeLessThan(CLOSE);
  }
});
