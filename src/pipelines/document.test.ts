import { expect, it } from "vitest";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import type { DocumentInput, Opened } from "./definition.js";
import { documentParts, isDocument, joined, withBox } from "./document.js";

/** Letters are tokens: 1 and 2 stand around a text. */
const tokenizer = Object.assign(
  (text: string | string[], { addSpecialTokens = true } = {}) => {
    const ids = [text].flat().map((one) => [...one.replaceAll(" ", "")].map((c) => c.charCodeAt(0)));
    return { inputIds: addSpecialTokens ? ids.map((row) => [1, ...row, 2]) : ids };
  },
  { clsTokenId: 1, sepTokenId: 2 },
) as unknown as Tokenizer;
const opened = { tokenizer, maxLength: 5 } as unknown as Opened;
const page: DocumentInput = {
  words: ["ab", "cd", "e"],
  boxes: [
    [0, 0, 10, 10],
    [10, 0, 20, 10],
    [0, 20, 10, 30],
  ],
  width: 100,
  height: 50,
};

it("reads a long page in windows, and each word once, by the window that has its beginning", () => {
  const parts = documentParts(page, opened);
  expect(parts.map(({ inputIds }) => String.fromCharCode(...inputIds.slice(1, -1)))).toEqual(["abc", "de"]);
  expect([...parts[0]!.boxes!.data].slice(4, 8)).toEqual([0, 0, 100, 200]);
  const said = parts.map(({ inputIds }) => ({ logits: Float32Array.from(inputIds), outputs: 1 }));
  const [part, { logits }] = joined(parts, said);
  expect(String.fromCharCode(...logits)).toBe("abce"); // "d" goes on with a word that is known
  expect(part.tokens.map(({ start, isSubword }) => [start, isSubword])).toEqual([
    [0, false],
    [0, true],
    [3, false],
    [6, false],
  ]);
});

it("gives an entity the box around its words, as they were given", () => {
  const entity = { label: "X", score: 1, text: "cd e", start: 3, end: 7 };
  expect(withBox(entity, page).box).toEqual([0, 0, 20, 30]);
});

it("names the word whose box is none, and is no page without as many boxes as words", () => {
  const wrong = { ...page, boxes: [...page.boxes.slice(1), [5, 0, 101, 1] as const] };
  expect(() => documentParts(wrong, opened)).toThrow(/Word 3, "e": the box \[5, 0, 101, 1\] lies outside/);
  expect([isDocument(page), isDocument({ ...page, boxes: [] }), isDocument("x")]).toEqual([
    true,
    false,
    false,
  ]);
});
