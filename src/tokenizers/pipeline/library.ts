import * as library from "@huggingface/tokenizers";
import { PeftError } from "../../errors.js";
import { isRecord } from "../../narrow.js";
import { type BoundedPattern, boundPattern } from "../../pattern.js";
import type { Json } from "./json.js";
import { asString, fault, shown } from "./json.js";

/**
 * The one door to @huggingface/tokenizers: its models (BPE merges, WordPiece's greedy match) and
 * its translation of Oniguruma patterns. What it lacks (offsets, truncation, padding) or does otherwise
 * than Python (normalizers, pre-tokenizers, decoders), or takes too much for (unigram), is ours, in the
 * files beside this one.
 */

/** What we use of it; its own declarations do not resolve under Node's rules for modules. */
const { BPE, ReplaceNormalizer, WordPiece } = library as unknown as {
  BPE: new (config: Json) => { bpe(text: string): string[] };
  ReplaceNormalizer: new (config: Json) => { pattern: RegExp };
  WordPiece: new (config: Json) => { encode(texts: string[]): string[] };
};

/** Splits a pre-token into pieces that concatenate to it. */
export type Segment = (text: string) => string[];

/**
 * BPE merges over the characters of a pre-token; the last piece ends in end_of_word_suffix where there is
 * one.
 */
export function bpe(config: Json): Segment {
  const model = new BPE(config);
  return (text) => model.bpe(text);
}

/** Greedy longest match; continuing pieces carry the prefix, an unknown word is `[unk_token]`. */
export function wordPiece(config: Json): Segment {
  const model = new WordPiece(config);
  return (text) => model.encode([text]);
}

/** The longest expression that is translated; the longest of known models has 1200 characters. */
const LONGEST_PATTERN = 20_000;

/** A global expression from tokenizer.json: `{ String }`, or `{ Regex }` in Oniguruma's syntax. */
export function compilePattern(pattern: unknown, where: string): BoundedPattern {
  const config = typeof pattern === "string" ? { String: pattern } : pattern;
  const kind = isRecord(config) ? ["Regex", "String"].find((key) => Object.hasOwn(config, key)) : undefined;
  if (!isRecord(config) || kind === undefined) fault(where, "is neither a String nor a Regex");
  const source = asString(config[kind], `${where}.${kind}`);
  if (source.length > LONGEST_PATTERN) fault(`${where}.${kind}`, `has ${source.length} characters`);
  try {
    const { pattern: compiled } = new ReplaceNormalizer({ pattern: { [kind]: source }, content: "" });
    return boundPattern(compiled, where, "tokenizer");
  } catch (cause) {
    if (cause instanceof PeftError) throw cause;
    return fault(
      `${where} ${shown(source)}`,
      `is no valid expression (${cause instanceof Error ? cause.message.slice(0, 200) : ""})`,
    );
  }
}
