import { fallbackTokens } from "./bytes.js";
import type { Json } from "./json.js";
import {
  asArray,
  asNumber,
  asObject,
  asString,
  booleanOr,
  fault,
  isObject,
  numberOr,
  stringOr,
} from "./json.js";
import type { Segment } from "./library.js";
import { bpe, wordPiece } from "./library.js";
import type { PathStep } from "./unigram.js";
import { bestPath } from "./unigram.js";

/** A piece of a pre-token: [from, to) in its UTF-16 units. */
export type Piece = { readonly id: number; readonly from: number; readonly to: number };

/** A vocabulary and how it cuts a pre-token. */
export type VocabModel = {
  readonly type: string;
  readonly vocab: ReadonlyMap<string, number>;
  tokenize(text: string): Piece[];
};

/** Reads the model of tokenizer.json: BPE, Unigram, WordPiece, WordLevel. Throws `tokenizer` for another. */
export function readModel(value: unknown): VocabModel {
  const config = asObject(value, "model");
  const type = stringOr(config["type"], guessType(config));
  if (type === "BPE") return readBpe(config);
  if (type === "Unigram") return readUnigram(config);
  if (type === "WordPiece") return readWordPiece(config);
  if (type === "WordLevel") return readWordLevel(config);
  return fault(`model ${JSON.stringify(type)}`, "is unknown (known: BPE, Unigram, WordPiece, WordLevel)");
}

/** Old files leave the type out. */
function guessType(config: Json): string {
  if (Array.isArray(config["vocab"])) return "Unigram";
  if ("merges" in config) return "BPE";
  return "continuing_subword_prefix" in config ? "WordPiece" : "WordLevel";
}

function readVocab(config: Json): Map<string, number> {
  const entries = Object.entries(asObject(config["vocab"], "model.vocab"));
  return new Map(entries.map(([token, id]) => [token, asNumber(id, `id of ${JSON.stringify(token)}`)]));
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

function readBpe(config: Json): VocabModel {
  const vocab = readVocab(config);
  const merges = asArray(config["merges"], "model.merges");
  const segment = bpe({ ...config, merges: merges.length > 0 ? merges : [["", ""]] });
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
        if (unknown && fuse) out.push({ ...out.pop()!, to });
        else out.push({ id: unk, from, to });
      }
      unknown = known === undefined && !bytes && unk !== undefined;
    }
    return out;
  };
  return { type: "BPE", vocab, tokenize };
}

function byteIds(vocab: ReadonlyMap<string, number>, text: string): number[] | undefined {
  const ids = fallbackTokens(text).map((token) => vocab.get(token));
  return ids.every((id) => id !== undefined) ? (ids as number[]) : undefined;
}

function readUnigram(config: Json): VocabModel {
  const entries = asArray(config["vocab"], "model.vocab").map((entry) => asArray(entry, "model.vocab entry"));
  const vocab = new Map(entries.map((entry, id) => [asString(entry[0], "model.vocab token"), id]));
  const scores = Float64Array.from(entries, (entry) => asNumber(entry[1], "model.vocab score"));
  const unk = numberOr(config["unk_id"], undefined);
  const fallback = booleanOr(config["byte_fallback"], false);
  const limits = {
    unknownScore: scores.reduce((low, score) => Math.min(low, score), Number.POSITIVE_INFINITY) - 10,
    longest: [...vocab.keys()].reduce((long, token) => Math.max(long, token.length), 1),
  };
  const tokenize = (text: string): Piece[] =>
    fuseUnknown(bestPath(text, vocab, scores, limits), unk).flatMap(({ id, from, to }) => {
      const known = id === undefined || id === unk ? vocab.get(text.slice(from, to)) : id;
      if (known !== undefined) return [{ id: known, from, to }];
      const bytes = fallback ? byteIds(vocab, text.slice(from, to)) : undefined;
      if (bytes) return bytes.map((byte) => ({ id: byte, from, to }));
      if (unk === undefined)
        fault("unk_id", `is missing, and ${JSON.stringify(text)} is not in the vocabulary`);
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

function readWordPiece(config: Json): VocabModel {
  const vocab = readVocab(config);
  const unkToken = stringOr(config["unk_token"], "[UNK]");
  const prefix = stringOr(config["continuing_subword_prefix"], "##");
  const segment = wordPiece({ ...config, unk_token: unkToken, continuing_subword_prefix: prefix });
  const unk = vocab.get(unkToken);
  const tokenize = (text: string): Piece[] => {
    const pieces = segment(text);
    if (pieces.length === 1 && pieces[0] === unkToken) {
      if (unk === undefined) fault(`unk_token ${JSON.stringify(unkToken)}`, "is not in the vocabulary");
      return [{ id: unk, from: 0, to: text.length }];
    }
    let at = 0;
    return pieces.map((piece, i) => {
      const from = at;
      at += piece.length - (i === 0 ? 0 : prefix.length);
      return { id: vocab.get(piece)!, from, to: at };
    });
  };
  return { type: "WordPiece", vocab, tokenize };
}

function readWordLevel(config: Json): VocabModel {
  if (!isObject(config["vocab"])) fault("model.vocab", "must be an object");
  const vocab = readVocab(config);
  const unk = vocab.get(stringOr(config["unk_token"], "<unk>"));
  const tokenize = (text: string): Piece[] => {
    const id = vocab.get(text) ?? unk;
    return id === undefined ? [] : [{ id, from: 0, to: text.length }];
  };
  return { type: "WordLevel", vocab, tokenize };
}
