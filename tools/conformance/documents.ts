import { cp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Box, readBox } from "../../src/data/boxes.js";
import { collate } from "../../src/data/collate.js";
import { documentTokens, documentWindows } from "../../src/data/document_tokens.js";
import { encodeRows } from "../../src/data/encode.js";
import { rowsFrom } from "../../src/data/rows_from.js";
import { patchBoxes } from "../../src/models/parts/boxes.js";
import { AutoTokenizer } from "../../src/tokenizers/auto.js";
import type { Tokenizer } from "../../src/tokenizers/tokenizer.js";
import { inTemporaryFolder, json } from "./files.js";
import type { CaseResult } from "./result.js";
import { type Check, equal, readTensors } from "./tensors.js";

// Documents of a media kit: boxes in thousandths, words as subwords with their boxes and labels.

interface BoxFile {
  readonly page: readonly [number, number];
  readonly box: Box;
  readonly normalized: Box;
}

/** What Python's tokenizer gives for some pages. */
interface Encoded {
  readonly input_ids: readonly (readonly number[])[];
  readonly attention_mask: readonly (readonly number[])[];
  readonly bbox: readonly (readonly Box[])[];
  readonly labels: readonly (readonly number[])[];
}

interface Pages {
  readonly words: readonly (readonly string[])[];
  readonly boxes: readonly (readonly Box[])[];
  readonly labels: readonly (readonly number[])[];
}

interface LayoutLMRow {
  readonly max_length: number;
  readonly words: readonly string[];
  readonly input_ids: readonly number[];
  readonly attention_mask: readonly number[];
  readonly bbox: readonly Box[];
  readonly labels: readonly number[];
  readonly token_type_ids: readonly number[];
}

interface Call {
  readonly options?: Readonly<Record<string, unknown>>;
  readonly call?: { readonly max_length?: number; readonly stride?: number };
  readonly question?: string;
  readonly out: Encoded;
  readonly word_ids?: readonly (number | null)[];
  readonly sequence_ids?: readonly (number | null)[];
}

export async function runDocuments(kit: string): Promise<CaseResult> {
  const folder = join(kit, "documents");
  const boxes = json<BoxFile[]>(folder, "boxes.json").map(({ page: [width, height], box, normalized }) =>
    equal(`boxes.${width}x${height}.${box}`, readBox(box, { width, height }), normalized),
  );
  const v3 = json<Pages & { readonly calls: Readonly<Record<string, Call>> }>(folder, "layoutlmv3.json");
  const patches = await readTensors(join(folder, "patches.safetensors"));
  const own = equal("patches", patchBoxes([4, 4]).flat(), [...(patches.get("patch_boxes")?.data ?? [])]);
  const checks = [...boxes, own, ...(await layoutlm(folder, v3))];
  for (const [name, call] of Object.entries(v3.calls))
    checks.push(...(await withTokenizer(folder, call.options, (own) => checkCall(name, call, v3, own))));
  return { checks };
}

async function layoutlm(folder: string, pages: Pages): Promise<Check[]> {
  const tokenizer = await AutoTokenizer.fromPretrained(join(folder, "layoutlm"));
  return json<LayoutLMRow[]>(folder, "layoutlm.json").flatMap((row) => {
    const i = pages.words.findIndex((words) => `${words}` === `${row.words}`);
    const one = (list: Pages[keyof Pages]): never[] => list.slice(i, i + 1) as never[];
    const page = { words: one(pages.words), boxes: one(pages.boxes), labels: one(pages.labels) };
    const got = encoded(page, tokenizer, row.max_length, row.max_length);
    const name = `layoutlm.${row.max_length}.${row.words[0]}`;
    return [
      equal(`${name}.ids`, got.input_ids[0], row.input_ids),
      equal(`${name}.mask`, got.attention_mask[0], row.attention_mask),
      equal(`${name}.bbox`, got.bbox[0], row.bbox),
      equal(`${name}.labels`, got.labels[0], row.labels),
    ];
  });
}

/** The tokenizer as if it had been saved with other options. */
async function withTokenizer<R>(
  folder: string,
  options: Readonly<Record<string, unknown>> = {},
  run: (tokenizer: Tokenizer) => R,
): Promise<R> {
  return inTemporaryFolder(async (made) => {
    await cp(join(folder, "layoutlmv3"), made, { recursive: true });
    const config = { ...json<object>(made, "tokenizer_config.json"), ...options };
    await writeFile(join(made, "tokenizer_config.json"), JSON.stringify(config));
    return run(await AutoTokenizer.fromPretrained(made));
  });
}

function checkCall(
  name: string,
  { options, call, question, out, ...more }: Call,
  pages: Pages,
  tokenizer: Tokenizer,
): Check[] {
  if (question !== undefined) return checkQuestion(name, question, out, more, pages, tokenizer);
  const { max_length: most, stride } = call ?? {};
  if (stride !== undefined) return checkWindows(name, out, pages, tokenizer, most ?? 0, stride);
  const got = encoded(pages, tokenizer, most ?? Number.POSITIVE_INFINITY, most ?? 1);
  // what is not learnt is -100 here, whatever the tokenizer writes there
  const none = options?.["pad_token_label"] ?? -100;
  const labels = out.labels.map((row) => row.map((label) => (label === none ? -100 : label)));
  return (["input_ids", "attention_mask", "bbox", "labels"] as const).map((key) =>
    equal(`${name}.${key}`, got[key], key === "labels" ? labels : out[key]),
  );
}

function encoded(pages: Pages, tokenizer: Tokenizer, maxLength: number, multiple: number): Encoded {
  const rows = rowsFrom(
    pages.words.map((words, i) => ({ words, bboxes: pages.boxes[i], ner_tags: pages.labels[i] })),
  );
  const { samples } = encodeRows(rows, { tokenizer, task: "TOKEN_CLS", maxLength });
  const { inputIds, attentionMask, labels, columns } = collate(samples, {
    padTokenId: tokenizer.padTokenId ?? 0,
    padToMultipleOf: multiple,
  });
  const boxes = columns?.["bbox"] ?? { data: new Int32Array(), shape: [] };
  const rowsOf = (data: ArrayLike<number>, width: number): number[][] =>
    Array.from({ length: data.length / width }, (_, i) => Array.from(data).slice(i * width, (i + 1) * width));
  const width = inputIds.shape[1];
  return {
    input_ids: rowsOf(inputIds.data, width),
    attention_mask: rowsOf(attentionMask.data, width),
    bbox: rowsOf(boxes.data, 4 * width).map((row) => rowsOf(row, 4) as unknown as Box[]),
    labels: rowsOf(labels.data, width),
  };
}

/** Ids, words and boxes; offsets within a word are nothing that is read here. */
function checkWindows(
  name: string,
  out: Encoded,
  pages: Pages,
  tokenizer: Tokenizer,
  most: number,
  stride: number,
): Check[] {
  const windows = pages.words.flatMap((words, i) =>
    documentWindows({ words, boxes: pages.boxes[i] ?? [] }, tokenizer, most, stride),
  );
  const real = out.input_ids.map((ids, i) => ids.filter((_, j) => out.attention_mask[i]?.[j] === 1));
  const boxes = out.bbox.map((row, i) => row.slice(0, real[i]?.length).flat());
  return [
    equal(
      `${name}.input_ids`,
      windows.map(({ ids }) => ids),
      real,
    ),
    equal(
      `${name}.bbox`,
      windows.map((window) => [...window.boxes.data]),
      boxes,
    ),
  ];
}

function checkQuestion(
  name: string,
  question: string,
  out: { readonly input_ids: unknown; readonly bbox: unknown },
  { word_ids = [], sequence_ids = [] }: Pick<Call, "word_ids" | "sequence_ids">,
  { words, boxes }: Pages,
  tokenizer: Tokenizer,
): Check[] {
  const row = { words: words[0] ?? [], boxes: boxes[0] ?? [], question };
  const got = documentTokens(row, tokenizer, Number.POSITIVE_INFINITY);
  const ofPage = word_ids.map((word, i) => (sequence_ids[i] === 1 ? word : -1));
  return [
    equal(`${name}.input_ids`, got.ids, out.input_ids),
    equal(`${name}.bbox`, [...got.boxes.data], (out.bbox as number[][]).flat()),
    equal(`${name}.word_ids`, got.words, ofPage),
  ];
}
