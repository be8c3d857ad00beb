import { PeftError } from "../errors.js";
import { at } from "../present.js";
import type { TokenizerClass } from "./classes.js";
import type { TemplatePart } from "./legacy_vocab.js";
import { templateOf } from "./legacy_vocab.js";
import type { Json } from "./pipeline/json.js";
import { booleanOr, numberOr } from "./pipeline/json.js";
import type { Field } from "./protobuf.js";
import { readFields } from "./protobuf.js";
import type { SpecialTokens } from "./special_tokens.js";

/** How a class of transformers makes its tokenizer from a SentencePiece file. */
export type PieceClass = NonNullable<TokenizerClass["pieces"]>;

/** Of one piece; SentencePiece's trainer makes none of more than 16 by default. */
const MOST_LETTERS = 1024;
const CONTROL = 3;
const USER_DEFINED = 4;
const SPACE = "▁";

interface Piece {
  readonly text: string;
  readonly score: number;
  readonly type: number;
}

/** What counts of a SentencePiece file (sentencepiece_model.proto). */
interface PieceFile {
  readonly pieces: readonly Piece[];
  readonly isBpe: boolean;
  readonly unkId: number;
  readonly byteFallback: boolean;
  /** Its normalizer's rules, compiled; empty: none. */
  readonly charsmap: Uint8Array;
}

/** Throws "tokenizer" for bytes that are no SentencePiece file, or one of words or characters. */
function readPieces(bytes: Uint8Array, where: string): PieceFile {
  const fail = (why: string): never => {
    throw new PeftError("tokenizer", {
      what: `${where} cannot be read.`,
      why,
      fix: "give a SentencePiece file (unigram or BPE) as it was downloaded, or tokenizer.json.",
    });
  };
  const fields = (data: Uint8Array): readonly Field[] =>
    readFields(data) ?? fail("it is no SentencePiece file, or it is cut short.");
  const part = (data: Uint8Array, number: number): Uint8Array =>
    fields(data).findLast((f) => f.number === number)?.bytes ?? new Uint8Array();
  const number = (data: Uint8Array, which: number, otherwise: number): number =>
    fields(data).findLast((f) => f.number === which)?.value ?? otherwise;
  const text = new TextDecoder();
  const pieces = fields(bytes)
    .filter((f) => f.number === 1)
    .map(({ bytes = new Uint8Array() }) => ({
      text: text.decode(part(bytes, 1)),
      score: number(bytes, 2, 0),
      type: number(bytes, 3, 1),
    }));
  const trainer = part(bytes, 2);
  const kind = number(trainer, 3, 1);
  if (pieces.length === 0) fail("it has no pieces.");
  if (kind !== 1 && kind !== 2) fail(`it is a model of ${kind === 3 ? "words" : "characters"}.`);
  const unkId = number(trainer, 40, 0);
  const longest = pieces.reduce((most, piece) => Math.max(most, piece.text.length), 0);
  if (longest > MOST_LETTERS) fail(`a piece has ${longest} letters.`);
  if (unkId >= pieces.length) fail(`its unknown token is ${unkId} of ${pieces.length} pieces.`);
  return {
    pieces,
    isBpe: kind === 2,
    unkId,
    byteFallback: number(trainer, 35, 0) === 1,
    charsmap: part(part(bytes, 3), 2),
  };
}

/**
 * A tokenizer.json made in memory from a SentencePiece file, as transformers' class builds its own.
 * Reference: transformers/convert_slow_tokenizer.py, models/<model>/tokenization_*.py
 */
export function fromSentencePiece(
  bytes: Uint8Array,
  kind: PieceClass | undefined,
  config: Json,
  special: SpecialTokens,
  where: string,
): Json {
  const file = readPieces(bytes, where);
  const prefix = booleanOr(config["add_prefix_space"], true);
  const scheme = !prefix
    ? "never"
    : kind === "llama" && !booleanOr(config["legacy"], false)
      ? "first"
      : "always";
  const metaspace = {
    type: "Metaspace",
    replacement: SPACE,
    prepend_scheme: scheme,
    split: kind !== "llama",
  };
  const words = { type: "Sequence", pretokenizers: [{ type: "WhitespaceSplit" }, metaspace] };
  const charsmap =
    file.charsmap.length === 0 ? [] : [{ type: "Precompiled", precompiled_charsmap: base64(file.charsmap) }];
  const spaces = { type: "Replace", pattern: { String: " " }, content: SPACE };
  const fallback: Json[] = [
    { type: "Replace", pattern: { String: SPACE }, content: " " },
    { type: "ByteFallback" },
    { type: "Fuse" },
  ];
  const sequence = (normalizers: readonly Json[]): Json => ({ type: "Sequence", normalizers });
  const own = addedTokens(file, special);
  const added = { added_tokens: own };
  const [A, B] = [
    ["$A", 0],
    ["$B", 0],
  ] as const;
  switch (kind) {
    case "t5": {
      const extra = Array.from({ length: numberOr(config["extra_ids"], 100) }, (_, i) => `<extra_id_${i}>`);
      const model = unigram(file, [...scored(file), ...extra.reverse().map(zero)], 2);
      const from = file.pieces.length;
      const end: TemplatePart = [special.eos ?? "</s>", 0];
      const tokens = extra.map((content, i) => ({ ...token(content, from + i), special: true }));
      return {
        ...{
          added_tokens: [...own, ...tokens],
          model,
          normalizer: sequence(charsmap),
        },
        ...{
          pre_tokenizer: words,
          decoder: metaspace,
          post_processor: templateOf([A, end], [A, end, B, end], idIn(model)),
        },
      };
    }
    case "xlmRoberta": {
      const [bos, end] = [special.bos ?? "<s>", special.eos ?? "</s>"];
      const start = [bos, special.pad ?? "<pad>", end, special.unk ?? "<unk>"].map(zero);
      const [first, last]: [TemplatePart, TemplatePart] = [
        [bos, 0],
        [end, 0],
      ];
      const all = [...start, ...scored(file).slice(3), zero(special.mask ?? "<mask>")];
      const model = unigram(file, all, 3);
      return {
        ...{ added_tokens: [], model, normalizer: sequence(charsmap) },
        ...{
          pre_tokenizer: words,
          decoder: metaspace,
          post_processor: templateOf([first, A, last], [first, A, last, last, B, last], idIn(model)),
        },
      };
    }
    case "albert": {
      const lower = booleanOr(config["do_lower_case"], true) ? [{ type: "Lowercase" }] : [];
      const accents = booleanOr(config["keep_accents"], false)
        ? []
        : [{ type: "NFKD" }, { type: "StripAccents" }];
      const quotes = ["``", "''"].map((quote) => ({
        ...{ type: "Replace", pattern: { String: quote } },
        content: '"',
      }));
      const model = unigram(file, scored(file), 1);
      const [cls, sep] = [special.cls ?? "[CLS]", special.sep ?? "[SEP]"];
      const single: TemplatePart[] = [[cls, 0], A, [sep, 0]];
      const ends = templateOf(single, [...single, ["$B", 1], [sep, 1]], idIn(model));
      return {
        ...{ ...added, model, normalizer: sequence([...quotes, ...accents, ...lower, ...charsmap]) },
        ...{ pre_tokenizer: words, decoder: metaspace, post_processor: ends },
      };
    }
    case "llama": {
      const strip = prefix ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : [];
      return {
        ...{ ...added, model: bpe(file, true), normalizer: null, pre_tokenizer: metaspace },
        ...{ decoder: { type: "Sequence", decoders: [...fallback, ...strip] }, post_processor: null },
      };
    }
    case "gemma": {
      const split = {
        type: "Split",
        pattern: { String: " " },
        behavior: "MergedWithPrevious",
        invert: false,
      };
      return {
        ...{ ...added, model: bpe(file, true), normalizer: spaces, pre_tokenizer: split },
        ...{ decoder: { type: "Sequence", decoders: fallback }, post_processor: null },
      };
    }
    case undefined: {
      const model = file.isBpe ? bpe(file, file.byteFallback) : unigram(file, scored(file), file.unkId);
      const decoders = file.byteFallback ? fallback : fallback.slice(0, 1);
      return {
        ...{ ...added, model, normalizer: sequence([...charsmap, spaces]), pre_tokenizer: null },
        ...{ decoder: { type: "Sequence", decoders }, post_processor: null },
      };
    }
  }
}

type Scored = readonly [text: string, score: number];

const zero = (text: string): Scored => [text, 0];
const scored = ({ pieces }: PieceFile): Scored[] => pieces.map(({ text, score }) => [text, score]);

function unigram(file: PieceFile, vocab: readonly Scored[], unk_id: number): Json {
  return { type: "Unigram", vocab, unk_id, byte_fallback: file.byteFallback };
}

/** Pieces joined from two others, in the order of their ids: the earlier one is merged first. */
function bpe({ pieces, unkId }: PieceFile, byteFallback: boolean): Json {
  const vocab = new Map(pieces.map(({ text }, id) => [text, id]));
  const merges: { pair: [string, string]; id: number; left: number; right: number }[] = [];
  for (const [text, id] of vocab) {
    const letters = [...text];
    const local = letters.slice(1).flatMap((_, i) => {
      const pair: [string, string] = [letters.slice(0, i + 1).join(""), letters.slice(i + 1).join("")];
      const [left, right] = [vocab.get(pair[0]), vocab.get(pair[1])];
      return left === undefined || right === undefined ? [] : [{ pair, id, left, right }];
    });
    merges.push(...local.sort((a, b) => a.left - b.left || a.right - b.right));
  }
  const size = ([left, right]: [string, string]): [number, number] => [[...left].length, [...right].length];
  merges.sort((a, b) => {
    const [x, y] = [size(a.pair), size(b.pair)];
    return a.id - b.id || x[0] - y[0] || x[1] - y[1];
  });
  return {
    ...{ type: "BPE", vocab: Object.fromEntries(vocab), merges: merges.map(({ pair }) => pair) },
    ...{ unk_token: at(pieces, unkId).text, fuse_unk: true, byte_fallback: byteFallback },
  };
}

function token(content: string, id: number): Json {
  return { id, content, normalized: false, lstrip: false, rstrip: false, single_word: false };
}

/** Control tokens are special, and those of the class; others that a user defined are not. */
function addedTokens({ pieces }: PieceFile, special: SpecialTokens): Json[] {
  const own = new Set<string>(Object.values(special));
  return pieces.flatMap(({ text, type }, id) =>
    type === CONTROL || type === USER_DEFINED
      ? [{ ...token(text, id), special: type === CONTROL || own.has(text) }]
      : [],
  );
}

/** The id of a token of a unigram's vocabulary. */
function idIn({ vocab }: Json): (token: string) => number | undefined {
  return (token) => {
    const id = (vocab as readonly Scored[]).findIndex(([text]) => text === token);
    return id < 0 ? undefined : id;
  };
}

function base64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}
