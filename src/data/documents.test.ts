import { describe, expect, it } from "vitest";
import { readBox } from "./boxes.js";
import { collate } from "./collate.js";
import { documentWindows } from "./document_tokens.js";
import { encodeRows } from "./encode.js";
import { findAnswer } from "./kinds/document.js";
import { loadDataset } from "./load.js";
import type { LoadDatasetOptions } from "./load_options.js";
import type { DocumentRow } from "./row.js";
import { rowsFrom } from "./rows_from.js";
import type { EncodedText, EncodeTextOptions, TokenizerLike } from "./types.js";

/** Letters are tokens: 1 and 2 stand around a text, 2 between a pair. */
const letters: TokenizerLike = Object.assign(
  (text: string | string[], { textPair, addSpecialTokens = true }: EncodeTextOptions = {}): EncodedText => {
    const ids = (word: string): number[] => [...word.replaceAll(" ", "")].map((c) => c.charCodeAt(0));
    const inputIds = [text].flat().map((one) => {
      if (!addSpecialTokens) return ids(one);
      return [1, ...ids(one), 2, ...(textPair === undefined ? [] : [...ids(`${textPair}`), 2])];
    });
    return { inputIds, attentionMask: inputIds.map((row) => row.map(() => 1)) };
  },
  {
    decode: (ids: number[]) => String.fromCharCode(...ids),
    paddingSide: "right" as const,
    ...{ clsTokenId: 1, sepTokenId: 2, padTokenId: 0 },
  },
);

const page = {
  words: ["ab", "c"],
  bboxes: [
    [10, 20, 30, 40],
    [50, 60, 70, 80],
  ],
};

async function read(
  name: string,
  files: Readonly<Record<string, Uint8Array | string>>,
  options: LoadDatasetOptions = {},
) {
  const bytes = (file: string): Uint8Array => {
    const found = files[file];
    if (found === undefined) throw new Error("not there");
    return typeof found === "string" ? new TextEncoder().encode(found) : found;
  };
  const reader = {
    size: async (file: string) => bytes(file).length,
    read: async (file: string, from: number, length: number) => bytes(file).slice(from, from + length),
  };
  return (await loadDataset(name, { reader, warn: () => {}, ...options })) as DocumentRow[];
}

describe("boxes", () => {
  it("are in thousandths of the page, cut off", () => {
    expect(readBox([330, 499, 333, 500], { width: 762, height: 1000 })).toEqual([433, 499, 437, 500]);
    expect(readBox([1.5, 0, 2, 3], { width: 3, height: 3 })).toEqual([500, 0, 666, 1000]);
    expect(readBox([0, 0, 1000, 1000], undefined)).toEqual([0, 0, 1000, 1000]);
  });

  it.each([
    ["outside", [0, 0, 1001, 5], /outside of the page, 1000 x 1000 where no width/],
    ["no whole numbers", [0, 0, 0.5, 1], /not whole numbers/],
    ["negative", [5, 0, 4, 1], /ends before it begins/],
    ["three numbers", [5, 0, 4], /not four numbers/],
    ["text", "x", /not four numbers/],
  ])("that are wrong are named: %s", (_, box, says) => {
    const { words, bboxes } = page;
    const faulty = { words, bboxes: [bboxes[0], box], labels: ["x", "y"] };
    expect(() => rowsFrom([faulty])).toThrow(says);
    expect(() => rowsFrom([faulty])).toThrow(/row 1: .*\(word 2, "c"\)/);
  });

  it("are as many as words, and so are labels", () => {
    expect(() => rowsFrom([{ words: ["a"], bboxes: page.bboxes }])).toThrow("1 words, but 2 boxes");
    expect(() => rowsFrom([{ ...page, labels: ["x"] }])).toThrow("2 words, but 1 labels");
    expect(() => rowsFrom([{ ...page, width: 0, height: 5 }])).toThrow("width is 0, not the size of a page");
  });
});

describe("pages", () => {
  it("become tokens with the box of their word, and a label on its first", () => {
    const rows = rowsFrom([{ ...page, ner_tags: ["X", "Y"] }]);
    const { samples } = encodeRows(rows, { tokenizer: letters, task: "TOKEN_CLS" });
    const batch = collate(samples, { padTokenId: 0, padToMultipleOf: 6 });
    expect([...batch.inputIds.data]).toEqual([1, 97, 98, 99, 2, 0]);
    expect([...batch.labels.data]).toEqual([-100, 0, -100, 1, -100, -100]);
    const [word, other, end] = [page.bboxes[0]!, page.bboxes[1]!, [1000, 1000, 1000, 1000]];
    expect([...batch.columns!["bbox"]!.data]).toEqual(
      [[0, 0, 0, 0], word, word, other, end, [0, 0, 0, 0]].flat(),
    );
    expect(batch.columns!["bbox"]!.shape).toEqual([1, 6, 4]);
    const left = collate(samples, { padTokenId: 0, padToMultipleOf: 6, paddingSide: "left" });
    expect([...left.columns!["bbox"]!.data].slice(4, 12)).toEqual([0, 0, 0, 0, ...word]);
  });

  it("have one class, and a label in the words' place is no list", () => {
    const rows = rowsFrom([
      { ...page, label: "form" },
      { ...page, label: "memo" },
    ]);
    const { samples } = encodeRows(rows, { tokenizer: letters, task: "SEQ_CLS" });
    expect(samples.map(({ labels }) => [...labels])).toEqual([[0], [1]]);
    expect(() => encodeRows(rows, { tokenizer: letters, task: "TOKEN_CLS" })).toThrow(
      "a document without a label for each word",
    );
  });

  it("answer questions with words", () => {
    const rows = rowsFrom([{ ...page, question: "q", answers: ["no", "AB C"] }], {
      taskType: "QUESTION_ANS",
    });
    const { samples } = encodeRows(rows, { tokenizer: letters, task: "QUESTION_ANS" });
    expect(samples[0]).toMatchObject({ start: 3, end: 5 });
    expect([...samples[0]!.inputIds]).toEqual([1, 113, 2, 97, 98, 99, 2]);
    expect([...samples[0]!.boxes!.data].slice(0, 16)).toEqual([
      ...Array(8).fill(0),
      ...Array(4).fill(1000),
      10,
      20,
      30,
      40,
    ]);
    expect(() => rowsFrom([{ ...page, question: "q", answer: "x" }])).toThrow(/"x" does not stand among/);
    expect(findAnswer(["Total:", "$", "1.50"], "$1.50")).toEqual({ first: 1, last: 2 });
    expect(findAnswer(["12", "123"], "23")).toBeUndefined();
  });

  it("that are too long become windows that overlap", () => {
    const row = { words: ["abcde"], boxes: [[1, 2, 3, 4] as const] };
    const ids = documentWindows(row, letters, 5, 1).map((window) => window.ids);
    expect(ids).toEqual([
      [1, 97, 98, 99, 2],
      [1, 99, 100, 101, 2],
    ]);
  });
});

describe("what readers of pages write", () => {
  it("hOCR", async () => {
    const html = `<div class='ocr_page' id='page_1' title='image "in.png"; bbox 0 0 200 100; ppageno 0'>
      <span class='ocr_line' title="bbox 0 0 9 9"><span class='ocrx_word' title='bbox 20 10 40 20; x_wconf 96'>
      <strong>A&amp;B</strong></span> <span title="bbox 50 10 60 20" class="ocrx_word"><span class="ocrx_cinfo">c</span></span>
      <span class='ocrx_word' title='bbox 1 1 2 2'> </span></span></div><div class='ocr_page' title='bbox 0 0 10 10'></div>`;
    const rows = read("a.hocr", { "a.hocr": html.slice(0, html.indexOf("<div class='ocr_page' title")) });
    expect(await rows).toMatchObject([
      {
        words: ["A&B", "c"],
        boxes: [
          [100, 100, 200, 200],
          [250, 100, 300, 200],
        ],
        image: "in.png",
      },
    ]);
    await expect(read("a.hocr", { "a.hocr": html })).rejects.toThrow(/a.hocr page 2: the page has no words/);
  });

  it("Tesseract's TSV, whose quotes are text", async () => {
    const tsv = [
      "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext",
      "1\t1\t0\t0\t0\t0\t0\t0\t200\t100\t-1\t",
      '5\t1\t1\t1\t1\t1\t20\t10\t20\t10\t96.5\t"Hi',
      "5\t1\t1\t1\t1\t2\t50\t10\t10\t10\t95\t ",
      "1\t2\t0\t0\t0\t0\t0\t0\t100\t100\t-1\t",
      "5\t2\t1\t1\t1\t1\t0\t0\t100\t50\t96\tx",
    ].join("\n");
    expect(await read("a.tsv", { "a.tsv": tsv })).toMatchObject([
      { words: ['"Hi'], boxes: [[100, 100, 200, 200]], page: { width: 200, height: 100 } },
      { words: ["x"], boxes: [[0, 0, 1000, 500]] },
    ]);
  });

  it("FUNSD's forms, in pixels of the picture beside them", async () => {
    const form = [
      {
        label: "question",
        words: [
          { text: "Date", box: [10, 0, 20, 10] },
          { text: ":", box: [20, 0, 22, 10] },
        ],
      },
      {
        label: "other",
        words: [
          { text: "x", box: [0, 0, 1, 1] },
          { text: "", box: [0, 0, 0, 0] },
        ],
      },
    ];
    const file = JSON.stringify({ form });
    const png = new Uint8Array(24);
    png.set([0x89, 0x50, 0x4e, 0x47]);
    new DataView(png.buffer).setUint32(16, 100);
    new DataView(png.buffer).setUint32(20, 50);
    const files = { "train/annotations/1.json": file, "train/images/1.png": png };
    const [row] = await read("train/annotations/1.json", files);
    expect(row).toMatchObject({
      words: ["Date", ":", "x"],
      boxes: [
        [100, 0, 200, 200],
        [200, 0, 220, 200],
        [0, 0, 10, 20],
      ],
      image: "train/images/1.png",
    });
    expect(row!.tags!.map((tag) => row!.labelNames[tag])).toEqual(["B-QUESTION", "I-QUESTION", "O"]);
    await expect(read("a.json", { "a.json": file })).rejects.toThrow(/images\/a.png.*give width and height/);
  });
});
