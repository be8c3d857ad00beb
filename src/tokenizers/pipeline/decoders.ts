import { at } from "../../present.js";
import { align, checkGrowth, grown, replaceMatches } from "./aligned.js";
import { decodeUtf8, tokenBytes } from "./bytes.js";
import type { Json } from "./json.js";
import { asNumber, asString, booleanOr, type PartTable, readPart, readParts, stringOr } from "./json.js";
import { compilePattern } from "./library.js";
import { readMark } from "./pre_tokenizers.js";

/** From tokens to parts of the text; the parts are joined at the end. */
export type Decoder = (tokens: readonly string[]) => string[];

/** Reads the decoder of tokenizer.json; without one, tokens are joined with spaces. */
export function readDecoder(value: unknown, where: string): Decoder {
  return readPart(value, where, table) ?? ((tokens) => [tokens.join(" ")]);
}

const table: PartTable<Decoder> = {
  BPEDecoder: (c) => {
    const suffix = stringOr(c["suffix"], "</w>");
    return (tokens) => tokens.map((token, i) => token.replaceAll(suffix, i === tokens.length - 1 ? "" : " "));
  },
  ByteFallback: () => byteFallback,
  ByteLevel: () => (tokens) => [
    decodeUtf8(Uint8Array.from(tokens.flatMap((token) => [...tokenBytes(token)]))),
  ],
  CTC: ctc,
  Fuse: () => (tokens) => [tokens.join("")],
  Metaspace: metaspace,
  Replace: (c, where) => {
    const pattern = compilePattern(c["pattern"], `${where}.pattern`);
    const content = asString(c["content"], `${where}.content`);
    return (tokens) => tokens.map((token) => replaceMatches(align(token), pattern, content).text);
  },
  Sequence: (c, where) => {
    const steps = readParts(c, "decoders", where, readDecoder);
    const units = (parts: readonly string[]): number => parts.reduce((sum, part) => sum + part.length, 0);
    return (tokens) => {
      const most = grown(units(tokens));
      return steps.reduce(
        (parts, step) => {
          const out = step(parts);
          checkGrowth(units(out), most);
          return out;
        },
        [...tokens],
      );
    };
  },
  Strip: (c, where) => {
    const content = asString(c["content"], `${where}.content`);
    const start = asNumber(c["start"], `${where}.start`);
    const stop = asNumber(c["stop"], `${where}.stop`);
    return (tokens) => tokens.map((token) => strip(token, content, start, stop));
  },
  WordPiece: wordPiece,
};

function metaspace(c: Json, where: string): Decoder {
  const mark = readMark(c, where);
  const legacy = booleanOr(c["add_prefix_space"], true) ? "always" : "never";
  const first = stringOr(c["prepend_scheme"], legacy) === "never" ? " " : "";
  return (tokens) => tokens.map((token, i) => token.replaceAll(mark, i === 0 ? first : " "));
}

function wordPiece(c: Json): Decoder {
  const prefix = stringOr(c["prefix"], "##");
  const cleanup = booleanOr(c["cleanup"], true);
  return (tokens) =>
    tokens.map((token, i) => {
      const part = i === 0 ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
      return cleanup ? cleanUp(part.replaceAll(" do not", " don't")) : part;
    });
}

function ctc(c: Json): Decoder {
  const pad = stringOr(c["pad_token"], "<pad>");
  const delimiter = stringOr(c["word_delimiter_token"], "|");
  const cleanup = booleanOr(c["cleanup"], true);
  return (tokens) =>
    tokens
      .filter((token, i) => token !== tokens[i - 1])
      .map((token) => token.replaceAll(pad, ""))
      .map((token) => (cleanup ? cleanUp(token).replaceAll(delimiter, " ") : token))
      .filter((token) => token !== "");
}

/** Runs of `<0x0A>` become text; a run that is not UTF-8 becomes one U+FFFD a byte, as in Rust. */
function byteFallback(tokens: readonly string[]): string[] {
  const out: string[] = [];
  let run: number[] = [];
  const flush = (): void => {
    if (run.length > 0) out.push(...decodeRun(run));
    run = [];
  };
  for (const token of tokens) {
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token);
    if (byte) run.push(Number.parseInt(at(byte, 1), 16));
    else {
      flush();
      out.push(token);
    }
  }
  flush();
  return out;
}

function decodeRun(run: number[]): string[] {
  try {
    return [new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(run))];
  } catch {
    return run.map(() => "\ufffd");
  }
}

function strip(token: string, content: string, start: number, stop: number): string {
  const chars = [...token];
  let from = 0;
  while (from < start && chars[from] === content) from++;
  let to = chars.length;
  while (chars.length - to < stop && to > 0 && chars[to - 1] === content) to--;
  return chars.slice(from, Math.max(from, to)).join("");
}

/** Python's clean_up_tokenization: spaces before punctuation and English contractions go. */
export function cleanUp(text: string): string {
  return text
    .replaceAll(" .", ".")
    .replaceAll(" ?", "?")
    .replaceAll(" !", "!")
    .replaceAll(" ,", ",")
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m")
    .replaceAll(" 's", "'s")
    .replaceAll(" 've", "'ve")
    .replaceAll(" 're", "'re");
}
