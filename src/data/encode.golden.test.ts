import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { tokenizerFromFiles } from "../tokenizers/files.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import { encodeRows } from "./encode.js";
import type { Row } from "./row.js";

/** What Python's recipes make of the same rows: tools/golden/data.py. */
interface Case {
  tokenizer: string;
  input_ids: number[];
  labels: number[];
  max_length: number;
  [key: string]: unknown;
}
type Kind = "causal" | "seq2seq" | "pairs" | "tags" | "answers" | "chats";

const here = new URL(".", import.meta.url);
const golden = JSON.parse(await readFile(new URL("fixtures/golden.json", here), "utf8")) as Record<
  Kind,
  Case[]
>;

function open(name: string, more: Record<string, string> = {}): Promise<Tokenizer> {
  return tokenizerFromFiles(async (file) => {
    const path = new URL(`../../tests/kit/tokenizers/${name}/${file}`, here);
    return more[file] ?? (await readFile(path, "utf8").catch(() => undefined));
  });
}

const at = "row 1";

describe("encodeRows gives what Python's recipes give", () => {
  it.each(golden.causal)("prompt and target, $tokenizer: $prompt", async (c) => {
    const row = { kind: "prompt", at, prompt: c["prompt"], target: c["target"] } as Row;
    const { samples } = encodeRows([row], { tokenizer: await open(c.tokenizer), task: "CAUSAL_LM" });
    expect([...samples[0]!.inputIds]).toEqual(c.input_ids);
    expect([...samples[0]!.labels]).toEqual(c.labels);
  });

  it.each(golden.seq2seq)("input and target, $tokenizer: $prompt", async (c) => {
    const row = { kind: "prompt", at, prompt: c["prompt"], target: c["target"] } as Row;
    const options = { maxLength: c.max_length, maxTargetLength: 64 };
    const { samples } = encodeRows([row], {
      tokenizer: await open(c.tokenizer),
      task: "SEQ_2_SEQ_LM",
      ...options,
    });
    expect([...samples[0]!.inputIds]).toEqual(c.input_ids);
    expect([...samples[0]!.labels]).toEqual(c.labels);
  });

  it.each(golden.pairs)("a pair in $max_length tokens", async (c) => {
    const label = { problemType: "single_label_classification", labels: [0], labelNames: ["a"] };
    const row = { kind: "classify", at, text: c["text"], pair: c["pair"], ...label } as unknown as Row;
    const config = JSON.stringify({ model_input_names: ["input_ids", "token_type_ids"], pad_token: "[PAD]" });
    const tokenizer = await open(c.tokenizer, { "tokenizer_config.json": config });
    const { samples } = encodeRows([row], { tokenizer, maxLength: c.max_length, task: "SEQ_CLS" });
    expect([...samples[0]!.inputIds]).toEqual(c.input_ids);
    expect([...samples[0]!.tokenTypeIds!]).toEqual(c["token_type_ids"]);
  });

  it.each(golden.tags)("words with tags, $tokenizer, $max_length tokens", async (c) => {
    const row = {
      kind: "tokens",
      at,
      words: c["words"],
      tags: c["tags"],
      labelNames: ["a", "b", "c"],
    } as Row;
    const options = { maxLength: c.max_length, task: "TOKEN_CLS" as const };
    const { samples } = encodeRows([row], { tokenizer: await open(c.tokenizer), ...options });
    expect([...samples[0]!.inputIds]).toEqual(c.input_ids);
    expect([...samples[0]!.labels]).toEqual(c.labels);
  });

  it.each(golden.answers)("an answer, $tokenizer: $question $answer", async (c) => {
    const context = String(c["context"]);
    const start = context.indexOf(String(c["answer"]));
    const answer = { start, end: start + String(c["answer"]).length };
    const row = { kind: "question", at, question: c["question"], context, answer } as Row;
    const options = { maxLength: c.max_length, task: "QUESTION_ANS" as const };
    const { samples } = encodeRows([row], { tokenizer: await open(c.tokenizer), ...options });
    expect([...samples[0]!.inputIds]).toEqual(c.input_ids);
    expect([samples[0]!.start, samples[0]!.end]).toEqual([c["start"], c["end"]]);
  });

  it.each(golden.chats)("a chat, by the template's marks and by our own search", async (c) => {
    const template = String(c["template"]);
    const row = { kind: "chat", at, messages: c["messages"] } as Row;
    // A block in its place, since Python's jinja takes the line break behind a block.
    const unmarked = template.replace("{% generation %}", "{% if true %}").replace("endgeneration", "endif");
    for (const text of [template, unmarked]) {
      const tokenizer = await open(c.tokenizer, { "chat_template.jinja": text });
      const { samples } = encodeRows([row], { tokenizer, task: "CAUSAL_LM" });
      expect([...samples[0]!.inputIds]).toEqual(c.input_ids);
      expect([...samples[0]!.labels]).toEqual(c.labels);
    }
  });
});
