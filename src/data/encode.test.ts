import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { tokenizerFromFiles } from "../tokenizers/files.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import { describeReport, encodeRows } from "./encode.js";
import { preview } from "./preview.js";
import type { Row } from "./row.js";

function open(name: string, chatTemplate?: string): Promise<Tokenizer> {
  return tokenizerFromFiles(async (file) => {
    if (file === "chat_template.jinja") return chatTemplate;
    const path = new URL(`../../tests/kit/tokenizers/${name}/${file}`, import.meta.url);
    return readFile(path, "utf8").catch(() => undefined);
  });
}

const bpe = await open("byte-bpe");
const unigram = await open("unigram");
const wordpiece = await open("wordpiece");
const eos = bpe.eosTokenId!;
const prompt = (text: string, target: string, at = "row 1"): Row => ({
  kind: "prompt",
  at,
  prompt: text,
  target,
});

describe("causal models", () => {
  const ids = bpe("Label : ").inputIds[0]!;
  const target = [...bpe("complaint").inputIds[0]!, eos];

  it("learns the target and the end, not the prompt", () => {
    const { samples, report } = encodeRows([prompt("Label : ", "complaint")], {
      tokenizer: bpe,
      task: "CAUSAL_LM",
    });
    expect([...samples[0]!.inputIds]).toEqual([...ids, ...target]);
    expect([...samples[0]!.labels]).toEqual([...ids.map(() => -100), ...target]);
    expect(report).toMatchObject({
      rows: 1,
      truncated: 0,
      learntTokens: target.length,
      longest: ids.length + target.length,
    });
  });

  it("takes off an end that the tokenizer puts behind the prompt, and none that the target brings", () => {
    const rows = [prompt("first", "job"), prompt("first</s>", "job</s>")];
    const { samples } = encodeRows(rows, { tokenizer: unigram, task: "CAUSAL_LM" });
    const bare = (text: string): number[] => unigram(text, { addSpecialTokens: false }).inputIds[0]!;
    expect([...samples[0]!.inputIds]).toEqual([...bare("first"), ...bare("job"), 1]);
    expect([...samples[1]!.inputIds]).toEqual([...bare("first"), 1, ...bare("job"), 1]);
  });

  it("learns plain text whole", () => {
    const row: Row = { kind: "text", at: "row 1", text: "Label : " };
    const { samples } = encodeRows([row], { tokenizer: bpe, task: "CAUSAL_LM" });
    expect([...samples[0]!.labels]).toEqual([...ids, eos]);
  });

  it("counts what is cut, at either end", () => {
    const rows = [prompt("Label : ", "complaint"), prompt("a", "b")];
    const options = { tokenizer: bpe, task: "CAUSAL_LM" as const, maxLength: ids.length + 1 };
    const right = encodeRows(rows, options);
    expect(right.report).toMatchObject({ truncated: 1, labelsCut: 1, emptyLabels: 0 });
    expect([...right.samples[0]!.labels].slice(-2)).toEqual([-100, target[0]]);
    expect(describeReport(right.report)).toContain(`1 row cut at ${ids.length + 1} tokens`);
    const left = encodeRows([rows[0]!], { ...options, maxLength: target.length + 1, truncationSide: "left" });
    expect([...left.samples[0]!.labels]).toEqual([-100, ...target]);
    expect(left.report).toMatchObject({ truncated: 1, labelsCut: 0 });
  });

  it("refuses rows with nothing left to learn, or drops them", () => {
    const rows = [prompt("Label : ", "x", "row 1"), prompt("a", "", "row 2"), prompt("a", "b", "row 3")];
    const options = { tokenizer: bpe, task: "CAUSAL_LM" as const, maxLength: ids.length };
    expect(() => encodeRows(rows, options)).toThrow(
      `2 rows with nothing to learn: row 1: all of it lies beyond ${ids.length} tokens; row 2: its target is empty`,
    );
    const { samples, report } = encodeRows(rows, { ...options, emptyLabels: "drop" });
    expect(samples.map((sample) => sample.row)).toEqual([2]);
    expect(report).toMatchObject({ rows: 3, samples: 1, emptyLabels: 2 });
    expect(() => encodeRows(rows.slice(0, 1), { ...options, emptyLabels: "drop" })).toThrow(
      "each of the 1 row has an empty label or target, or one that lies beyond 6 tokens",
    );
  });
});

describe("other tasks", () => {
  it("cuts an encoder-decoder's sides apart, ends kept", () => {
    const options = { tokenizer: unigram, task: "SEQ_2_SEQ_LM" as const, maxLength: 4, maxTargetLength: 2 };
    const { samples, report } = encodeRows([prompt("Hello world", "first job")], options);
    expect([...samples[0]!.inputIds]).toEqual([...unigram("Hello world").inputIds[0]!.slice(0, 3), 1]);
    expect([...samples[0]!.labels]).toEqual([unigram("first job").inputIds[0]![0], 1]);
    expect(report).toMatchObject({ truncated: 1, labelsCut: 1 });
  });

  it("reads a prompt's target as a class where the classes are given", () => {
    const options = { tokenizer: wordpiece, task: "SEQ_CLS" as const };
    const { samples } = encodeRows([prompt("Hello", "b")], { ...options, labels: ["a", "b"] });
    expect([...samples[0]!.labels]).toEqual([1]);
    expect(() => encodeRows([prompt("Hello", "c")], { ...options, labels: ["a", "b"] })).toThrow(
      '"c" is none of the 2',
    );
    expect(() => encodeRows([prompt("Hello", "c")], options)).toThrow("no list of classes");
  });

  it("points at position 0 where there is no answer, and refuses one that is cut off", () => {
    const row = {
      kind: "question",
      at: "row 1",
      question: "Who?",
      context: "first job Hello world",
    } as const;
    const options = { tokenizer: wordpiece, task: "QUESTION_ANS" as const };
    expect(encodeRows([row], options).samples[0]).toMatchObject({ start: 0, end: 0 });
    const cut = { ...row, answer: { start: 16, end: 21 } };
    expect(encodeRows([cut], options).samples[0]!.start).toBeGreaterThan(0);
    const questionLength = wordpiece("Who?").inputIds[0]!.length;
    const short = { ...options, maxLength: questionLength + 3 };
    expect(() => encodeRows([cut], short)).toThrow("row 1: all of it lies beyond");
    expect(() => encodeRows([cut], { ...options, maxLength: 3 })).toThrow("leaves no room for the context");
  });

  it("refuses rows of another kind, ids and classes that the model lacks, each with its rows", () => {
    expect(() => encodeRows([prompt("a", "b")], { tokenizer: bpe, task: "TOKEN_CLS" })).toThrow(
      '1 row of a kind that TOKEN_CLS is not trained on: row 1: kind "prompt"',
    );
    const most = Math.max(...bpe("Label").inputIds[0]!);
    const options = { tokenizer: bpe, task: "CAUSAL_LM" as const, vocabSize: most };
    expect(() => encodeRows([prompt("Label", "a")], options)).toThrow(`row 1: ${most} (`);
    expect(encodeRows([prompt("Label", "a")], { ...options, vocabSize: most + 1 }).samples).toHaveLength(1);
    const label = {
      problemType: "single_label_classification" as const,
      labels: [2],
      labelNames: ["a", "b", "c"],
    };
    const row: Row = { kind: "classify", at: "row 1", text: "Hello", ...label };
    const classes = { tokenizer: wordpiece, task: "SEQ_CLS" as const, numLabels: 2 };
    expect(() => encodeRows([row], classes)).toThrow("row 1: class 2. why: its head has 2 labels");
    expect(() => encodeRows([], classes)).toThrow("no rows were given");
    expect(() => encodeRows([row], { ...classes, maxLength: 0 })).toThrow("maxLength is 0");
  });
});

describe("chats", () => {
  const messages = [
    { role: "user", content: "Hello" },
    { role: "assistant", content: "Hello" },
    { role: "user", content: "first job" },
    { role: "assistant", content: " two  spaces " },
  ];
  const row: Row = { kind: "chat", at: "row 1", messages };
  const marked = async (template: string): Promise<string> => {
    const tokenizer = await open("byte-bpe", template);
    const { samples } = encodeRows([row], { tokenizer, task: "CAUSAL_LM" });
    return preview(samples, tokenizer)[0]!;
  };

  it("learns the assistant's turns with their end marks", async () => {
    const template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>\n{% endfor %}";
    expect(await marked(template)).toBe(
      "<user>Hello</s>\n<assistant>[Hello</s>]\n<user>first job</s>\n<assistant>[ two  spaces </s>]\n",
    );
  });

  it("finds turns in a template that trims, and writes earlier turns otherwise than the last", async () => {
    const template =
      "{% for m in messages %}<{{ m.role }}>{% if loop.last and m.role == 'assistant' %}<think></think>{% endif %}" +
      "{{ m.content | trim }}</s>{% endfor %}";
    expect(await marked(template)).toBe(
      "<user>Hello</s><assistant>[Hello</s>]<user>first job</s><assistant><think></think>[two  spaces</s>]",
    );
  });

  it("says so where a template does not write what the assistant says", async () => {
    const template = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}";
    await expect(marked(template)).rejects.toThrow("does not write message 2 in a place of its own");
    await expect(marked("")).rejects.toThrow();
  });
});

describe("preview", () => {
  it("marks what is learnt, for each task", () => {
    const causal = encodeRows([prompt("Label : ", "no")], { tokenizer: bpe, task: "CAUSAL_LM" }).samples;
    expect(preview(causal, bpe)).toEqual(["Label : [no</s>]"]);
    expect(preview(causal, bpe, 1, { style: "ansi" })).toEqual(["Label : \u001b[32mno</s>\u001b[0m"]);
    const seq2seq = encodeRows([prompt("Hello", "first")], {
      tokenizer: unigram,
      task: "SEQ_2_SEQ_LM",
    }).samples;
    expect(preview(seq2seq, unigram)).toEqual(["Hello</s> -> [first</s>]"]);
    const names = ["O", "B"];
    const tags: Row = { kind: "tokens", at: "", words: ["hello", "job"], tags: [0, 1], labelNames: names };
    const tagged = encodeRows([tags], { tokenizer: wordpiece, task: "TOKEN_CLS" }).samples;
    expect(preview(tagged, wordpiece, 1, { labelNames: names })[0]).toMatch(
      /^\[CLS\] .*\[O\] .*\[B\] .*\[SEP\]$/,
    );
  });
});
