import { at } from "../../present.js";
import { ignoreIndex } from "../batch.js";
import { boxRules, documentTokens, spread } from "../document_tokens.js";
import { learnt, read } from "../pieces.js";
import type { DocumentRow } from "../row.js";
import type { TokenizerLike } from "../types.js";
import { classFault, type DataTask, documentInputs, type Encoded, inputsOf, padLabels } from "./task.js";

/**
 * Words with tags: the first token of a word carries its tag, the rest are not learnt. The words are joined
 * by spaces and tokenized as one text, so every tokenizer sees them as it does any text; offsets tell which
 * token begins which word.
 */
export const tokenCls: DataTask<"TOKEN_CLS"> = {
  name: "TOKEN_CLS",
  accepts: ["tokens", "document"],
  tables: ["document", "tokens"],
  encode(row, { tokenizer, maxLength }) {
    if (row.kind === "document") return encodeDocument(row, tokenizer, maxLength);
    if (row.kind !== "tokens") return `a row of kind "${row.kind}"`;
    const text = row.words.join(" ");
    const whole = tokenizer(text, { returnOffsets: true });
    const truncated = at(whole.inputIds, 0).length > maxLength;
    const kept = truncated ? tokenizer(text, { returnOffsets: true, truncation: true, maxLength }) : whole;
    const offsets = kept.offsets?.[0];
    if (offsets === undefined)
      return "tags on words, but the tokenizer gives no offsets to find the words by";
    const labels = Int32Array.from(tagTokens(row.words, row.tags, offsets));
    return {
      fields: { ...inputsOf(at(kept.inputIds, 0), kept.tokenTypeIds?.[0]), labels },
      truncated,
      labelsCut: truncated,
      learnt: labels.filter((label) => label !== ignoreIndex).length,
    };
  },
  collate: (samples, _inputs, options) => ({ labels: padLabels(samples, options) }),
  preview: ({ inputIds, labels }, { tokenizer, name }) =>
    [...inputIds].flatMap((id, i) => {
      const text = `${i === 0 ? "" : " "}${tokenizer.decode([id], { skipSpecialTokens: false }).trim()}`;
      return labels[i] === ignoreIndex ? [read(text)] : [read(text), learnt(name(at(labels, i)))];
    }),
  labelFault: ({ labels }, numLabels) => classFault(labels, numLabels),
};

/** The first token of a word has its tag, or all of them, as the tokenizer's files say. */
function encodeDocument(
  row: DocumentRow,
  tokenizer: TokenizerLike,
  maxLength: number,
): Encoded<"TOKEN_CLS"> | string {
  if (row.tags === undefined) return "a document without a label for each word";
  const tokens = documentTokens(row, tokenizer, maxLength);
  const labels = spread(tokens.words, row.tags, ignoreIndex, boxRules(tokenizer).firstOnly);
  return {
    fields: { ...documentInputs(tokens, row), labels: Int32Array.from(labels) },
    truncated: tokens.truncated,
    labelsCut: tokens.truncated,
    learnt: labels.filter((label) => label !== ignoreIndex).length,
  };
}

/**
 * A token begins the first word that ends after the token's start: a token of white space alone begins the
 * word behind it.
 */
function tagTokens(
  words: readonly string[],
  tags: readonly number[],
  offsets: readonly (readonly [number, number])[],
): number[] {
  let word = 0;
  let wordEnd = at(words, 0).length;
  let begun = -1;
  return offsets.map(([start, end]) => {
    if (start === end) return ignoreIndex;
    while (start >= wordEnd && word < words.length - 1) wordEnd += 1 + at(words, ++word).length;
    if (begun === word) return ignoreIndex;
    begun = word;
    return at(tags, word);
  });
}
