import { isRecord } from "../../narrow.js";
import { entry } from "../../present.js";
import { fallbackTokens } from "./bytes.js";
import type { Json } from "./json.js";
import {
  asArray,
  asId,
  asNumber,
  asObject,
  asString,
  booleanOr,
  fault,
  numberOr,
  shown,
  stringOr,
} from "./json.js";
import type { Segment } from "./library.js";
import { bpe, wordPiece } from "./library.js";
import type { PathStep } from "./unigram.js";
import { bestPath, unigramLimits } from "./unigram.js";

/** A piece of a pre-token: [from, to) in its UTF-16 units. */
export type Piece = { readonly id: number; readonly from: number; readonly to: number };

/** A vocabulary and how it cuts a pre-token. */
export type VocabModel = {
  readonly type: string;
  readonly vocab: ReadonlyMap<string, number>;
  /** What pieces begin with that go on with a word, where pieces show it. */
  readonly continuingPrefix?: string;
  tokenize(text: string): Piece[];
};

/** Reads the model of tokenizer.json: BPE, Unigram, WordPiece, WordLevel. Throws `tokenizer` for another. */
export function readModel(value: unknown, where: string): VocabModel {
  const config = asObject(value, where);
  const type = stringOr(config["type"], guessType(config));
  if (type === "BPE") return readBpe(config, where);
  if (type === "Unigram") return readUnigram(config, where);
  if (type === "WordPiece") return readWordPiece(config, where);
  if (type === "WordLevel") return readWordLevel(config, where);
  return fault(`${where} ${shown(type)}`, "is unknown (known: BPE, Unigram, WordPiece, WordLevel)");
}

/** Old files leave the type out. */
function guessType(config: Json): string {
  if (Array.isArray(config["vocab"])) return "Unigram";
  if ("merges" in config) return "BPE";
  return "continuing_subword_prefix" in config ? "WordPiece" : "WordLevel";
}

function readVocab(config: Json, where: string): Map<string, number> {
  const entries = Object.entries(asObject(config["vocab"], `${where}.vocab`));
  return new Map(entries.map(([token, id]) => [token, asId(id, `${where}.vocab: id of ${shown(token)}`)]));
}

/** Lays pieces that concatenate to a text end to end. */
function layOut(segment: Segment, text: string): { piece: string; from: number; to: number }[] {
  let at = 0;
  return segment(text).map((piece) => {
    const from = at;
    at = Math.min(text.length, at + piece.length);
    return { piece, from, to: at };
  });
}

function readBpe(config: Json, where: string): VocabModel {
  const vocab = readVocab(config, where);
  const merges = readMerges(config, where);
  const suffix = stringOr(config["end_of_word_suffix"], null);
  const segment = bpe({ vocab: config["vocab"], merges, end_of_word_suffix: suffix });
  const unk = vocab.get(stringOr(config["unk_token"], ""));
  const fuse = booleanOr(config["fuse_unk"], false);
  const fallback = booleanOr(config["byte_fallback"], false);
  const whole = booleanOr(config["ignore_merges"], false);
  const tokenize = (text: string): Piece[] => {
    const id = whole ? vocab.get(text) : undefined;
    if (id !== undefined) return [{ id, from: 0, to: text.length }];
    const out: Piece[] = [];
    let unknown = false; // the last piece is the unknown token
    for (const { piece, from, to } of layOut(segment, text)) {
      const known = vocab.get(piece);
      const bytes = known === undefined && fallback ? byteIds(vocab, piece) : undefined;
      if (known !== undefined) out.push({ id: known, from, to });
      else if (bytes) for (const byte of bytes) out.push({ id: byte, from, to });
      else if (unk !== undefined) {
        const last = unknown && fuse ? out.pop() : undefined;
        out.push({ id: unk, from, ...last, to });
      }
      unknown = known === undefined && !bytes && unk !== undefined;
    }
    return out;
  };
  return { type: "BPE", vocab, tokenize };
}

/** Pairs of texts; old files write "a b". */
function readMerges(config: Json, where: string): string[][] {
  const merges = asArray(config["merges"], `${where}.merges`).map((merge, i) => {
    const pair = typeof merge === "string" ? merge.split(" ", 2) : asArray(merge, `${where}.merges[${i}]`);
    return pair.map((part) => asString(part, `${where}.merges[${i}]`));
  });
  return merges.length > 0 ? merges : [["", ""]];
}

function byteIds(vocab: ReadonlyMap<string, number>, text: string): number[] | undefined {
  const ids = fallbackTokens(text).map((token) => vocab.get(token));
  return ids.every((id) => id !== undefined) ? ids : undefined;
}

function readUnigram(config: Json, where: string): VocabModel {
  const entries = asArray(config["vocab"], `${where}.vocab`).map((entry) =>
    asArray(entry, `${where}.vocab entry`),
  );
  const vocab = new Map(entries.map((entry, id) => [asString(entry[0], `${where}.vocab token`), id]));
  const scores = Float64Array.from(entries, (entry) => asNumber(entry[1], `${where}.vocab score`));
  const unk = numberOr(config["unk_id"], undefined);
  const fallback = booleanOr(config["byte_fallback"], false);
  const limits = unigramLimits(vocab.keys(), scores);
  const tokenize = (text: string): Piece[] =>
    fuseUnknown(bestPath(text, vocab, scores, limits), unk).flatMap(({ id, from, to }) => {
      const known = id === undefined || id === unk ? vocab.get(text.slice(from, to)) : id;
      if (known !== undefined) return [{ id: known, from, to }];
      const bytes = fallback ? byteIds(vocab, text.slice(from, to)) : undefined;
      if (bytes) return bytes.map((byte) => ({ id: byte, from, to }));
      if (unk === undefined)
        fault(`${where}.unk_id`, `is missing, and ${shown(text)} is not in the vocabulary`);
      return [{ id: unk, from, to }];
    });
  return { type: "Unigram", vocab, tokenize };
}

/** Unknown characters side by side become one token. */
function fuseUnknown(path: readonly PathStep[], unk: number | undefined): PathStep[] {
  const out: PathStep[] = [];
  const isUnknown = (stretch: PathStep): boolean => stretch.id === undefined || stretch.id === unk;
  for (const stretch of path) {
    const last = out.at(-1);
    if (last && isUnknown(last) && isUnknown(stretch)) out[out.length - 1] = { ...last, to: stretch.to };
    else out.push(stretch);
  }
  return out;
}

/** The time that a word takes grows with the cube of its length; everyone's limit is 100. */
const LONGEST_WORD = 1000;

function readWordPiece(config: Json, where: string): VocabModel {
  const vocab = readVocab(config, where);
  const unkToken = stringOr(config["unk_token"], "[UNK]");
  const prefix = stringOr(config["continuing_subword_prefix"], "##");
  const most = numberOr(config["max_input_chars_per_word"], 100);
  if (!(most <= LONGEST_WORD))
    fault(`${where}.max_input_chars_per_word`, `cannot be ${most}: 1000 is the most`);
  const segment = wordPiece({
    vocab: config["vocab"],
    unk_token: unkToken,
    continuing_subword_prefix: prefix,
    max_input_chars_per_word: most,
  });
  const unk = vocab.get(unkToken);
  const tokenize = (text: string): Piece[] => {
    const pieces = segment(text);
    if (pieces.length === 1 && pieces[0] === unkToken) {
      if (unk === undefined) fault(`${where}.unk_token ${shown(unkToken)}`, "is not in the vocabulary");
      return [{ id: unk, from: 0, to: text.length }];
    }
    let at = 0;
    return pieces.map((piece, i) => {
      const from = at;
      at += piece.length - (i === 0 ? 0 : prefix.length);
      return { id: entry(vocab, piece), from, to: at };
    });
  };
  return { type: "WordPiece", vocab, continuingPrefix: prefix, tokenize };
}

function readWordLevel(config: Json, where: string): VocabModel {
  if (!isRecord(config["vocab"])) fault(`${where}.vocab`, "must be an object");
  const vocab = readVocab(config, where);
  const unk = vocab.get(stringOr(config["unk_token"], "<unk>"));
  const tokenize = (text: string): Piece[] => {
    const id = vocab.get(text) ?? unk;
    return id === undefined ? [] : [{ id, from: 0, to: text.length }];
  };
  return { type: "WordLevel", vocab, tokenize };
}
