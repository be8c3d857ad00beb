import { at } from "../present.js";
import type { TextToken } from "../tasks/prediction.js";
import type { Encoding } from "../tokenizers/encode.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import { option, words } from "../words.js";
import type { Opened, Part } from "./definition.js";

/** A text, or a pair of texts. */
export interface TextPair {
  readonly text: string;
  readonly textPair?: string | undefined;
}

/** What is classified: a text, or a pair of texts. */
export type TextInput = string | TextPair;

export function isTextInput(value: unknown): value is TextInput {
  if (typeof value === "string") return true;
  const { text, textPair } = Object(value);
  return typeof text === "string" && (textPair === undefined || typeof textPair === "string");
}

/** One row of a text, cut to what the model reads. */
export function textPart(
  input: TextInput,
  { tokenizer, maxLength, warnOnce }: Opened,
  most: number = maxLength,
): Part {
  const limit = Math.min(most, maxLength);
  const { text, textPair } = typeof input === "string" ? { text: input, textPair: undefined } : input;
  const encoding = tokenizer(text, {
    ...(textPair === undefined ? {} : { textPair }),
    ...(Number.isFinite(limit) ? { truncation: true, maxLength: limit } : {}),
    returnOffsets: true,
    returnWordIds: true,
  });
  if (encoding.truncated > 0)
    warnOnce(words`Texts of more than ${limit} tokens are cut to these (${option("maxLength")}).`);
  return partOf(encoding, text, tokenizer);
}

/** The first row of an encoding. */
export function partOf(encoding: Encoding, text: string, tokenizer: Tokenizer): Part {
  const types = encoding.tokenTypeIds?.[0];
  return {
    ...{ row: 0, at: "", text, inputIds: Int32Array.from(at(encoding.inputIds, 0)) },
    ...(types === undefined ? {} : { tokenTypeIds: Int32Array.from(types) }),
    tokens: tokensOf(encoding, text, tokenizer),
  };
}

/**
 * Whether a token goes on with a word shows in its name where a tokenizer marks that (WordPiece), else no
 * white space stands before it. Reference: transformers/pipelines/token_classification.py,
 * gather_pre_entities
 */
function tokensOf(
  { inputIds, offsets, sequenceIds }: Encoding,
  text: string,
  tokenizer: Tokenizer,
): TextToken[] {
  return at(inputIds, 0).map((id, i): TextToken => {
    const [start, end] = offsets?.[0]?.[i] ?? [0, 0];
    const isMarked = tokenizer.continuingSubwordPrefix !== undefined;
    const name = tokenizer.convertIdsToTokens(id) ?? "";
    const goesOn = isMarked
      ? [...name].length !== [...text.slice(start, end)].length
      : start > 0 && !text.slice(start - 1, start + 1).includes(" ");
    return {
      ...{ start, end, isSpecial: sequenceIds?.[0]?.[i] === undefined },
      isSubword: id !== tokenizer.unkTokenId && goesOn,
      isClass: id === tokenizer.clsTokenId,
    };
  });
}
