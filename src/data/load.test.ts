import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { loadDataset } from "./load.js";
import type { LoadDatasetOptions } from "./load_options.js";
import { labelNames, type Row } from "./row.js";
import { readParquet } from "./tables/parquet.js";
import type { Reader } from "./types.js";

function files(contents: Record<string, string | Uint8Array>): Reader {
  const bytes = (path: string): Uint8Array => {
    const content = contents[path]!;
    return typeof content === "string" ? new TextEncoder().encode(content) : content;
  };
  return {
    read: async (path, offset, length) => bytes(path).slice(offset, offset + length),
    size: async (path) => bytes(path).length,
  };
}

function load(
  name: string,
  content: string,
  options: Omit<LoadDatasetOptions, "reader"> = {},
): Promise<Row[]> {
  return loadDataset(name, { ...options, reader: files({ [name]: content }) });
}

const tweets = { template: "Tweet text : {Tweet text} Label : ", target: "{Label}" };
const complaint = { prompt: "Tweet text : Oh, no Label : ", target: "complaint", kind: "prompt" };

describe("forms of files", () => {
  it.each([
    ["a.csv", 'Tweet text,Label\n"Oh, no",complaint\n', "a.csv line 2"],
    ["a.csv", '\ufeffTweet text,Label\r\n"Oh, no",complaint\r\n', "a.csv line 2"],
    ["a.csv", "Tweet text;Label\nOh, no;complaint\n", "a.csv line 2"],
    ["a.tsv", "Tweet text\tLabel\nOh, no\tcomplaint", "a.tsv line 2"],
    ["a.jsonl", '\n{"Tweet text": "Oh, no", "Label": "complaint"}\n\n', "a.jsonl line 2"],
    ["a.json", '[{"Tweet text": "Oh, no", "Label": "complaint"}]', "a.json row 1"],
    ["a.json", '{"version": 1, "data": [{"Tweet text": "Oh, no", "Label": "complaint"}]}', "a.json row 1"],
  ])("%s %#", async (name, content, at) => {
    expect(await load(name, content, tweets)).toEqual([{ ...complaint, at }]);
  });

  it("keeps line breaks, quotes and separators inside CSV fields, and counts lines through them", async () => {
    const text = 'Tweet text,Label\n"two\nlines, ""quoted""",a\nsay "hi" now,b\n';
    const rows = await load("a.csv", text, { template: "{Tweet text}", target: "{Label}" });
    expect(rows).toMatchObject([
      { prompt: 'two\nlines, "quoted"', target: "a", at: "a.csv line 2" },
      { prompt: 'say "hi" now', target: "b", at: "a.csv line 4" },
    ]);
  });

  it("reads CSV over the borders of pieces as it does within one, and lists its lines", async () => {
    const records = Array.from({ length: 100_000 }, (_, i) => [
      `${i} "said`,
      i % 3 ? `\u20ac,"\n${"x".repeat(i % 97)}` : "",
    ]);
    const quote = (text = ""): string => (/[,\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const content = `prompt;completion\r\n${records.map((record) => record.map(quote).join(";")).join("\r\n")}`;
    expect(content.length).toBeGreaterThan(2 ** 22);
    const rows = await load("a.csv", content, { template: "{prompt}", target: "{completion}|" });
    expect(rows.map((row) => (row.kind === "prompt" ? [row.prompt, row.target] : []))).toEqual(
      records.map(([prompt, completion]) => [prompt, `${completion}|`]),
    );
    expect(rows[2]?.at).toBe("a.csv line 5");
    const lines = content.slice(0, content.indexOf("99999 ")).split("\n").length;
    expect(rows.at(-1)?.at).toBe(`a.csv line ${lines}`);
  });

  it("a record that does not end is refused before it fills memory", async () => {
    const open = `text,label\nx,a\n"${"y\n".repeat(9 * 2 ** 20)}`;
    await expect(load("a.csv", open)).rejects.toThrow("The record at a.csv line 3 has more than 16 MiB.");
  });

  it("reads lines over the borders of pieces, characters too", async () => {
    const line = JSON.stringify({ text: "\u00e9\u20ac\u{1f600}".repeat(1000) });
    const content = `${line}\n`.repeat(600); // 5.4 MB: more than a piece
    const rows = await load("a.jsonl", content);
    expect(rows).toHaveLength(600);
    expect(new Set(rows.map((row) => (row.kind === "text" ? row.text : ""))).size).toBe(1);
  });

  it("reads several files and stops at the limit", async () => {
    const reader = files({ "a.jsonl": '{"text": "1"}\n{"text": "2"}', "b.csv": "text\n3\n4\n" });
    const rows = await loadDataset(["a.jsonl", "b.csv"], { reader, limit: 3 });
    expect(rows.map((row) => row.at)).toEqual(["a.jsonl line 1", "a.jsonl line 2", "b.csv line 2"]);
  });

  it.each(["snappy", "zstd", "gzip", "brotli", "lz4", "none"])("Parquet, %s", async (codec) => {
    const path = new URL(`fixtures/${codec}.parquet`, import.meta.url).pathname;
    const rows = await loadDataset(path, { taskType: "SEQ_CLS", limit: 3 });
    expect(rows.map((row) => row.kind === "classify" && [row.text, ...row.labels])).toEqual([
      ["The card never came.", 1],
      ["Thanks, all fine \u263a", 0],
      ["Where is it? 4,50 \u20ac", 1],
    ]);
    expect(labelNames(rows)).toEqual(["fine", "complaint"]);
    const tagged = await loadDataset(path, { taskType: "TOKEN_CLS" });
    expect(tagged[0]).toMatchObject({ words: ["The", "card"], tags: [0, 1], labelNames: ["O", "B-THING"] });
    await expect(loadDataset(path, { taskType: "SEQ_CLS" })).rejects.toThrow('row 4: no value for "text"');
  });

  it("Parquet, integers of 64 bits and floats", async () => {
    const path = new URL("fixtures/numbers.parquet", import.meta.url).pathname;
    const rows = await loadDataset(path, { template: "{prompt} {scores}", target: "{completion}" });
    expect(rows).toMatchObject([
      { prompt: "9223372036854775807 [1.0, 0.5]", target: "1.0" },
      { prompt: "7 []", target: "2.5" },
    ]);
  });

  it("Parquet whose schema counts wrongly is refused, and does not hang", async () => {
    const bytes = new Uint8Array(await readFile(new URL("fixtures/gzip.parquet", import.meta.url)));
    // the number of children of a list becomes -2
    bytes.set([3], 722);
    const reader = files({ "a.parquet": bytes });
    await expect(loadDataset("a.parquet", { reader })).rejects.toThrow(
      /cannot be read as Parquet \((its schema|a row group)/,
    );
  });

  it.each(["1", "2"])("Parquet with pages of version %s", async (version) => {
    const fixture = (name: string): string => new URL(`fixtures/${name}`, import.meta.url).pathname;
    const bytes = await readFile(fixture(`pages-${version}.parquet`));
    const { records } = await readParquet("a.parquet", { reader: files({ "a.parquet": bytes }) });
    const rows: unknown[] = [];
    for await (const row of records()) rows.push("values" in row ? row.values : row);
    expect(rows).toEqual(JSON.parse(await readFile(fixture("pages.json"), "utf8")));
  });

  it("Parquet whose runs are longer than its pages is refused before they are filled", async () => {
    const path = new URL("fixtures/run.parquet", import.meta.url).pathname;
    await expect(loadDataset(path, { template: "{label}" })).rejects.toThrow(
      "cannot be read as Parquet (a run of 2147483647 values where 1000 are left)",
    );
  });

  it("takes the list that split names", async () => {
    const content = '{"train": [{"text": "a"}], "test": [{"text": "b"}]}';
    expect(await load("a.json", content)).toMatchObject([{ text: "a" }]);
    expect(await load("a.json", content, { split: "test" })).toMatchObject([{ text: "b" }]);
    await expect(load("a.json", content, { split: "dev" })).rejects.toThrow("its lists are train, test");
  });
});

describe("kinds of rows", () => {
  it("a template with braces, numbers and columns twice", async () => {
    const options = { template: "{{{a}}} {b c} {a}:", target: "<{n}>" };
    const [row] = await load("a.jsonl", '{"a": "x", "b c": "y", "n": 3}', options);
    expect(row).toMatchObject({ prompt: "{x} y x:", target: "<3>" });
  });

  it("chats, in both forms", async () => {
    const content =
      '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}\n' +
      '{"messages": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]}';
    const messages = [
      { role: "user", content: "Hi" },
      { role: "assistant", content: "Ho" },
    ];
    expect(await load("a.jsonl", content)).toMatchObject([{ kind: "chat", messages }, { messages }]);
  });

  it("classes by name, sorted; the same list for another file", async () => {
    const rows = await load("a.csv", "text,label\nx,no\ny,maybe\nz,no\n");
    expect(labelNames(rows)).toEqual(["maybe", "no"]);
    expect(rows.map((row) => row.kind === "classify" && row.labels)).toEqual([[1], [0], [1]]);
    const more = await load("b.csv", "text,label\nx,no\n", { labels: labelNames(rows) });
    expect(more).toMatchObject([{ labels: [1], labelNames: ["maybe", "no"] }]);
    const wrong = load("b.csv", "text,label\nx,mybe\n", { labels: labelNames(rows) });
    await expect(wrong).rejects.toThrow('"mybe" is none of the 2 classes maybe, no (did you mean maybe?)');
  });

  it("classes by id, numbers, several classes, pairs, a template as the text", async () => {
    const labelsOf = async (content: string, options = {}): Promise<unknown> =>
      (await load("a.jsonl", content, options)).map((row) => row.kind === "classify" && row.labels);
    const line = (label: unknown): string => JSON.stringify({ text: "x", label });
    expect(await labelsOf(`${line(2)}\n${line(0)}`)).toEqual([[2], [0]]);
    expect(await labelsOf(`${line(2.5)}\n${line(-1)}`)).toEqual([[2.5], [-1]]);
    expect(await labelsOf(`${line(2)}\n${line(3)}`, { problemType: "regression" })).toEqual([[2], [3]]);
    expect(await labelsOf(`${line(["b", "a"])}\n${line([])}\n${line(["c"])}`)).toEqual([
      [1, 1, 0],
      [0, 0, 0],
      [0, 0, 1],
    ]);
    expect(await labelsOf(`${line([0, 1, 1])}\n${line([1, 0, 0])}`)).toEqual([
      [0, 1, 1],
      [1, 0, 0],
    ]);
    const pair = await load("a.csv", "premise,hypothesis,label\np,h,1\n");
    expect(pair).toMatchObject([{ text: "p", pair: "h", labels: [1], labelNames: ["0", "1"] }]);
    const made = await load("a.csv", "Tweet text,Label\nx,no\n", { ...tweets, taskType: "SEQ_CLS" });
    expect(made).toMatchObject([{ kind: "classify", text: "Tweet text : x Label : ", labelNames: ["no"] }]);
  });

  it("words with tags, as lists and as text", async () => {
    const rows = await load("a.csv", "words,tags\nAnn is here,B-PER O O\n");
    expect(rows).toMatchObject([
      { words: ["Ann", "is", "here"], tags: [0, 1, 1], labelNames: ["B-PER", "O"] },
    ]);
    await expect(load("a.csv", "words,tags\nAnn is,O\n")).rejects.toThrow(
      "a.csv line 2: 2 words, but 1 tags",
    );
  });

  it("answers in code points, without a place, without an answer; SQuAD's nesting", async () => {
    const context = "\u{1f600} Ann is here";
    const row = (answers: object): object => ({ question: "Who?", context, answers });
    const list = [
      row({ text: ["Ann"], answer_start: [2] }),
      row({ text: ["Ann"] }),
      row({ text: [], answer_start: [] }),
    ];
    const rows = await load("a.json", JSON.stringify(list));
    expect(rows).toMatchObject([{ answer: { start: 3, end: 6 } }, { answer: { start: 3, end: 6 } }, {}]);
    expect(rows[2]).not.toHaveProperty("answer");
    const qas = [{ question: "Who?", answers: [{ text: "Ann", answer_start: 2 }] }];
    const nested = await load("b.json", JSON.stringify({ data: [{ paragraphs: [{ context, qas }] }] }));
    expect(nested).toMatchObject([{ question: "Who?", answer: { start: 3, end: 6 } }]);
    const wrong = load("a.json", JSON.stringify([row({ text: ["Ann"], answer_start: [0] })]));
    await expect(wrong).rejects.toThrow('"Ann" does not stand at character 0 of the context');
  });
});

describe("faults", () => {
  const cases: [string, string, string, Omit<LoadDatasetOptions, "reader">, string | RegExp][] = [
    [
      "malformed lines",
      "a.jsonl",
      '{"text": 1}\n{"te\n[1]\n',
      {},
      /2 malformed lines in a.jsonl: a.jsonl line 2: not JSON .*a.jsonl line 3: \[1\] is not an object/,
    ],
    ["malformed JSON", "a.json", '[\n{"text": "a"},\n{"te]', {}, "a.json line 3: not JSON"],
    [
      "too many fields",
      "a.csv",
      "a,b\n1,2\n1,2,3\n4\n",
      {},
      /2 malformed lines in a.csv: a.csv line 3: 3 fields, but 2 columns; a.csv line 4: 1 field/,
    ],
    ["an open quote", "a.csv", 'a,b\n1,"2\n3,4\n', {}, /malformed line.*Quote/],
    ["a column twice", "a.csv", "a,a\n1,2\n", {}, 'names a column twice: "a"'],
    [
      "missing columns",
      "a.csv",
      "Tweet text,Label\nx,y\n",
      { template: "{tweet} {Tweet txt}", target: "{Lable}" },
      /Missing columns "tweet", "Tweet txt", "Lable".*"Tweet text", "Label".*write "Label" in place of "Lable"/,
    ],
    [
      "a target without a column",
      "a.csv",
      "Tweet text,Label\nx,y\n",
      { template: "{Tweet text}", target: "Label" },
      'target: "{Label}"',
    ],
    ["a brace", "a.csv", "a,b\n1,2\n", { template: "{a", target: "{b}" }, "a brace at character 1"],
    ["an unknown slot", "a.csv", "a,b\n1,2\n", { kind: "text", columns: { txet: "a" } }, "write text"],
    ["no known columns", "a.csv", "a,b\n1,2\n", {}, "the data set's columns are a, b"],
    [
      "columns for another task",
      "a.csv",
      "text,label\n1,2\n",
      { taskType: "QUESTION_ANS" },
      /question .*context .*answer/,
    ],
    ["an empty file", "a.csv", "", {}, "a.csv holds no rows. why: it is empty"],
    ["an empty JSONL", "a.jsonl", "\n", {}, "holds no rows"],
    ["an empty JSON", "a.json", "", {}, "holds no rows"],
    ["an empty Parquet", "a.parquet", "", {}, "holds no rows"],
    ["only a header", "a.csv", "text,label\n", {}, "there are only the column names text, label"],
    ["a damaged Parquet", "a.parquet", "PAR1 nothing", {}, "cannot be read as Parquet"],
    ["an unknown extension", "a.jsn", "[]", {}, /its extension is .jsn; known are .*rename it to .json/],
    ["no extension", "data", "[]", {}, "it has no extension"],
    [
      "values of a wrong form",
      "a.jsonl",
      '{"text": "a"}\n{"text": {}}\n{"text": null}',
      {},
      /2 rows .*line 2: text is \{\}, not text/,
    ],
    [
      "no assistant",
      "a.jsonl",
      '{"messages": [{"role": "user", "content": "Hi"}]}',
      {},
      "no message has the role assistant",
    ],
    ["a limit of nothing", "a.csv", "text\nx\n", { limit: 0 }, "limit is 0"],
  ];
  it.each(cases)("%s", async (_name, file, content, options, message) => {
    await expect(load(file, content, options)).rejects.toThrow(message);
  });

  it("names ten of many, and how many more", async () => {
    const lines = Array.from({ length: 14 }, () => "{").join("\n");
    const error = await load("a.jsonl", lines).catch((e: unknown) => String(e));
    expect(error).toContain("14 malformed lines");
    expect(error).toContain("a.jsonl line 10:");
    expect(error).not.toContain("a.jsonl line 11:");
    expect(error).toContain("; and 4 more");
  });
});
