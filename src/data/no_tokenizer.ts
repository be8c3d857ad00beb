import { PeftError } from "../errors.js";
import { option, words } from "../words.js";
import type { TokenizerLike } from "./types.js";

/** Stands for the tokenizer of a model that reads no text. Throws "option" where a row has text after all. */
export const noTokenizer: TokenizerLike = Object.assign(refuseText, {
  decode: (ids: number[]): string => (ids.length === 0 ? "" : refuseText()),
  paddingSide: "right" as const,
  modelMaxLength: Infinity,
});

/** Throws "option": there is text, and no tokenizer. */
export function refuseText(): never {
  throw new PeftError("option", {
    what: words`The rows have text, and there is no ${option("tokenizer")}.`,
    why: "text becomes token ids by the model's own tokenizer.",
    fix: "load it: await AutoTokenizer.fromPretrained(name).",
  });
}
