import type { Aligned } from "./aligned.js";
import { align, cut } from "./aligned.js";
import type { Json } from "./json.js";
import { asString, booleanOr } from "./json.js";
import type { Normalizer } from "./normalizers.js";
import { isWordChar } from "./pre_tokenizers.js";

/** A token added to the vocabulary, found in the text before the model sees it. */
export type AddedToken = {
  readonly id: number;
  readonly content: string;
  readonly singleWord: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
  readonly special: boolean;
};

/** A stretch of text, with the added token it is, if it is one. */
export type Stretch = { readonly text: Aligned; readonly token?: AddedToken };

/** Reads one added token, as tokenizer.json or tokenizer_config.json writes it. */
export function readAddedToken(config: Json, id: number): AddedToken {
  const special = booleanOr(config["special"], false);
  return {
    id,
    content: asString(config["content"], "added token's content"),
    singleWord: booleanOr(config["single_word"], false),
    lstrip: booleanOr(config["lstrip"], false),
    rstrip: booleanOr(config["rstrip"], false),
    normalized: booleanOr(config["normalized"], !special),
    special,
  };
}

/**
 * Finds added tokens: those not normalized in the text as given, the others in the normalized text between
 * them.
 */
export function makeFinder(tokens: Iterable<AddedToken>, normalize: Normalizer): (text: string) => Stretch[] {
  const plain: Lexicon = new Map();
  const normalized: Lexicon = new Map();
  for (const token of tokens) {
    if (token.content === "") continue;
    if (token.normalized) enter(normalized, normalize(align(token.content)).text, token);
    else enter(plain, token.content, token);
  }
  return (text) =>
    find(plain, align(text)).flatMap((stretch) =>
      stretch.token ? [stretch] : find(normalized, normalize(stretch.text)),
    );
}

/** First character of a token -> tokens, longest first. */
type Lexicon = Map<string, { content: string; token: AddedToken }[]>;

function enter(lexicon: Lexicon, content: string, token: AddedToken): void {
  if (content === "") return;
  const entries = lexicon.get(content[0]!) ?? [];
  entries.push({ content, token });
  entries.sort((a, b) => b.content.length - a.content.length);
  lexicon.set(content[0]!, entries);
}

/** Leftmost longest matches, as Rust's AddedVocabulary finds them. */
function find(lexicon: Lexicon, a: Aligned): Stretch[] {
  const out: Stretch[] = [];
  let done = 0; // everything before has been handed out
  for (let at = 0; at < a.text.length; ) {
    const entry = lexicon.get(a.text[at]!)?.find(({ content }) => a.text.startsWith(content, at));
    if (!entry) {
      at++;
      continue;
    }
    const { content, token } = entry;
    let from = at;
    let to = at + content.length;
    at = to;
    if (token.singleWord && touchesWord(a.text, from, to)) continue;
    if (token.lstrip)
      from = Math.max(done, from - /\p{White_Space}*$/u.exec(a.text.slice(0, from))![0].length);
    if (token.rstrip) to += /^\p{White_Space}*/u.exec(a.text.slice(to))![0].length;
    if (from > done) out.push({ text: cut(a, done, from) });
    out.push({ text: cut(a, from, to), token });
    done = to;
    at = Math.max(at, to);
  }
  if (done < a.text.length) out.push({ text: cut(a, done, a.text.length) });
  return out;
}

function touchesWord(text: string, from: number, to: number): boolean {
  const before = [...text.slice(Math.max(0, from - 2), from)].at(-1);
  const after = [...text.slice(to, to + 2)][0];
  return (before !== undefined && isWordChar(before)) || (after !== undefined && isWordChar(after));
}
