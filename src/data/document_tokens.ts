import { at } from "../present.js";
import type { BoxRules } from "../tokenizers/boxes.js";
import { usualBoxes } from "../tokenizers/boxes.js";
import type { Box } from "./boxes.js";
import type { DocumentRow } from "./row.js";
import type { TokenBoxes } from "./sample.js";
import type { TokenizerLike } from "./types.js";

/** A page as token ids: which word each token is of, and where it stands. */
export interface DocumentTokens {
  readonly ids: readonly number[];
  readonly types: readonly number[] | undefined;
  /** Places in the page's words; -1: a special token, or one of the question. */
  readonly words: readonly number[];
  readonly boxes: TokenBoxes;
  /** The page's words did not all fit. */
  readonly truncated: boolean;
}

/** The boxes of a tokenizer's special tokens. */
export function boxRules(tokenizer: TokenizerLike): BoxRules {
  return tokenizer.boxes ?? usualBoxes;
}

/** Tokens of all words of a page, and the word of each. */
export interface WordPieces {
  readonly ids: readonly number[];
  readonly words: readonly number[];
}

/**
 * Words as tokens, each by itself, as Python's tokenizers take text that is split into words. A tokenizer
 * whose words begin with a space that it does not write itself gets one.
 */
export function piecesOf(words: readonly string[], tokenizer: TokenizerLike): WordPieces {
  const bare = (texts: string[]): number[][] => tokenizer(texts, { addSpecialTokens: false }).inputIds;
  const [both = [], a = [], b = []] = bare(["a b", "a", "b"]);
  const isWhole = `${both}` === `${[...a, ...b]}`;
  const texts = words.map((word) => word.trim());
  const pieces = bare(texts.map((text) => (isWhole || text === "" ? text : ` ${text}`)));
  return { ids: pieces.flat(), words: pieces.flatMap((ids, word) => ids.map(() => word)) };
}

/** What stands around a page's words: special tokens, and the question. */
interface Frame {
  readonly before: readonly number[];
  readonly after: readonly number[];
  /** Token types before, of and after the words. */
  readonly types: readonly [readonly number[], number, readonly number[]] | undefined;
}

function frameOf(question: string | undefined, tokenizer: TokenizerLike): Frame {
  const filling = at(tokenizer("a", { addSpecialTokens: false }).inputIds, 0);
  const whole = question === undefined ? tokenizer("a") : tokenizer(question, { textPair: "a" });
  const ids = at(whole.inputIds, 0);
  const first = ids.findLastIndex((_, i) => filling.every((id, k) => ids[i + k] === id));
  const end = first + filling.length;
  const types = whole.tokenTypeIds?.[0];
  return {
    before: ids.slice(0, first),
    after: ids.slice(end),
    types: types && [types.slice(0, first), at(types, first), types.slice(end)],
  };
}

/** A page, cut at its end where it has more tokens than `maxLength`. */
export function documentTokens(
  row: Pick<DocumentRow, "words" | "boxes" | "question">,
  tokenizer: TokenizerLike,
  maxLength: number,
): DocumentTokens {
  return at(documentWindows(row, tokenizer, maxLength, 0, true), 0);
}

/**
 * A page in windows of at most `maxLength` tokens; each begins `overlap` of the page's tokens before the end
 * of the one before.
 */
export function documentWindows(
  { words, boxes, question }: Pick<DocumentRow, "words" | "boxes" | "question">,
  tokenizer: TokenizerLike,
  maxLength: number,
  overlap: number,
  firstOnly = false,
): DocumentTokens[] {
  const pieces = piecesOf(words, tokenizer);
  const frame = frameOf(question, tokenizer);
  const room = Math.max(1, maxLength - frame.before.length - frame.after.length);
  const step = Math.max(1, room - overlap);
  const windows: DocumentTokens[] = [];
  for (let from = 0; windows.length === 0 || from + overlap < pieces.ids.length; from += step) {
    const cut = { ids: pieces.ids.slice(from, from + room), words: pieces.words.slice(from, from + room) };
    windows.push(framed(cut, frame, boxes, tokenizer, pieces.ids.length > room));
    if (firstOnly || from + room >= pieces.ids.length) break;
  }
  return windows;
}

function framed(
  { ids, words }: WordPieces,
  { before, after, types }: Frame,
  boxes: readonly Box[],
  tokenizer: TokenizerLike,
  truncated: boolean,
): DocumentTokens {
  const rules = boxRules(tokenizer);
  const { clsTokenId, sepTokenId = tokenizer.eosTokenId } = tokenizer;
  const beside = (id: number): Box =>
    id === sepTokenId ? rules.sep : id === clsTokenId ? rules.cls : rules.padding;
  const all = [...before.map(beside), ...words.map((word) => at(boxes, word)), ...after.map(beside)];
  const none = (side: readonly number[]): number[] => side.map(() => -1);
  return {
    ids: [...before, ...ids, ...after],
    types: types && [...types[0], ...ids.map(() => types[1]), ...types[2]],
    words: [...none(before), ...words, ...none(after)],
    boxes: { data: Int32Array.from(all.flat()), padding: rules.padding },
    truncated,
  };
}

/** A value for each token: a word's on its first token, or on all of them; `none` where there is no word. */
export function spread(
  words: readonly number[],
  values: readonly number[],
  none: number,
  firstOnly: boolean,
): number[] {
  return words.map((word, i) => (word < 0 || (firstOnly && word === words[i - 1]) ? none : at(values, word)));
}
