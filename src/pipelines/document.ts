import { around, readBox } from "../data/boxes.js";
import { documentWindows } from "../data/document_tokens.js";
import { inputsOf } from "../data/tasks/task.js";
import { PeftError } from "../errors.js";
import { isRecord } from "../narrow.js";
import { at } from "../present.js";
import type { Entity } from "../tasks/prediction.js";
import type { DocumentInput, Opened, Part } from "./definition.js";
import type { PartLogits } from "./forward.js";

export function isDocument(value: unknown): value is DocumentInput {
  if (!isRecord(value)) return false;
  const { words, boxes } = value;
  const isText = (word: unknown): boolean => typeof word === "string";
  return Array.isArray(words) && Array.isArray(boxes) && words.every(isText) && words.length === boxes.length;
}

/** Tokens that windows of a long page share, at most. */
const OVERLAP = 64;

/** A page as windows that the model reads. Throws "data" for boxes that are none. */
export function documentParts(input: DocumentInput, opened: Opened, most: number = opened.maxLength): Part[] {
  const { tokenizer } = opened;
  const limit = Math.min(most, opened.maxLength);
  const page = pageOf(input);
  const boxes = input.boxes.map((value, i) => {
    const box = readBox(value, page);
    if (typeof box === "string") throw wrongBox(box, i, input.words);
    return box;
  });
  const overlap = Math.min(OVERLAP, Math.floor(limit / 8));
  const windows = documentWindows({ words: input.words, boxes }, tokenizer, limit, overlap);
  const starts = startsOf(input.words);
  const text = input.words.join(" ");
  return windows.map((window) => ({
    ...{ row: 0, at: "", text, ...inputsOf(window.ids, window.types), boxes: window.boxes, page: input },
    tokens: window.words.map((word, i) => ({
      start: starts[word] ?? 0,
      end: word < 0 ? 0 : (starts[word] ?? 0) + at(input.words, word).length,
      isSpecial: word < 0,
      isSubword: word >= 0 && word === window.words[i - 1],
    })),
  }));
}

function pageOf({ width, height }: DocumentInput): { width: number; height: number } | undefined {
  return width === undefined || height === undefined ? undefined : { width, height };
}

/** Where words begin in their text. */
function startsOf(words: readonly string[]): number[] {
  let next = 0;
  return words.map((word) => {
    const start = next;
    next += word.length + 1;
    return start;
  });
}

function wrongBox(says: string, word: number, words: readonly string[]): PeftError {
  return new PeftError("data", {
    what: `Word ${word + 1}, ${JSON.stringify(words[word])}: ${says}.`,
    why: "boxes are [left, top, right, bottom] within the page.",
    fix: "give them in thousandths of the page, or width and height of the page beside them.",
  });
}

/** Windows as one part again: each word by the first window that has its beginning. */
export function joined(parts: readonly Part[], results: readonly PartLogits[]): [Part, PartLogits] {
  const [first, only] = [at(parts, 0), at(results, 0)];
  if (parts.length === 1) return [first, only];
  const tokens: Part["tokens"][number][] = [];
  const rows: Float32Array[] = [];
  for (const [i, part] of parts.entries()) {
    const reached = tokens.at(-1)?.start ?? -1;
    const { logits, outputs } = at(results, i);
    for (const [k, token] of part.tokens.entries()) {
      if (token.isSpecial || token.start <= reached) continue;
      tokens.push(token);
      rows.push(logits.subarray(k * outputs, (k + 1) * outputs));
    }
  }
  const logits = new Float32Array(rows.length * only.outputs);
  for (const [i, row] of rows.entries()) logits.set(row, i * only.outputs);
  return [
    { ...first, tokens },
    { logits, outputs: only.outputs },
  ];
}

/** An entity with the box around its words, as they were given. */
export function withBox(entity: Entity, { words, boxes }: DocumentInput): Entity {
  const starts = startsOf(words);
  const own = boxes.filter((_, i) => at(starts, i) >= entity.start && at(starts, i) < entity.end);
  const box = around(own);
  return box === undefined ? entity : { ...entity, box };
}
