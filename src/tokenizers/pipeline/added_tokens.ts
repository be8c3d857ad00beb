import type { Aligned } from "./aligned.js";
import { align, cut, spaceAfter, spaceBefore } from "./aligned.js";
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

/** How a token is added. */
export interface AddTokensOptions {
  /** They are no text: `decode({ skipSpecialTokens: true })` leaves them out. @default false */
  readonly special?: boolean;
}

/** What a new token is, before it has an id. */
export function newToken(content: string, { special = false }: AddTokensOptions): Omit<AddedToken, "id"> {
  return { content, special, normalized: !special, singleWord: false, lstrip: false, rstrip: false };
}

/**
 * The id of the next token that is added, by Rust's rule: after the vocabulary, or after the highest added
 * token where that is further.
 */
export function nextId(added: Iterable<AddedToken>, vocabSize: number): number {
  let next = vocabSize;
  for (const { id } of added) next = Math.max(next, id + 1);
  return next;
}

/** A token as tokenizer.json and tokenizer_config.json have it. */
export function storedToken({ id: _, singleWord, ...token }: AddedToken): Json {
  return { ...token, single_word: singleWord };
}

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
  const plain = makeLexicon();
  const normalized = makeLexicon();
  for (const token of tokens) {
    if (token.content === "") continue;
    if (token.normalized) enter(normalized, normalize(align(token.content)).text, token);
    else enter(plain, token.content, token);
  }
  const findPlain = finderOf(plain);
  const findNormalized = finderOf(normalized);
  return (text) =>
    findPlain(align(text)).flatMap((stretch) =>
      stretch.token ? [stretch] : findNormalized(normalize(stretch.text)),
    );
}

/** Tokens by content, and the lengths of those that begin with a character. */
type Lexicon = { readonly tokens: Map<string, AddedToken>; readonly lengths: Map<string, Set<number>> };

function makeLexicon(): Lexicon {
  return { tokens: new Map(), lengths: new Map() };
}

/** Of equal contents the first counts. */
function enter({ tokens, lengths }: Lexicon, content: string, token: AddedToken): void {
  const [first = ""] = content.slice(0, 1);
  if (content === "" || tokens.has(content)) return;
  tokens.set(content, token);
  lengths.set(first, (lengths.get(first) ?? new Set()).add(content.length));
}

/** Finds the longest token that stands at a place. */
function makeMatcher({ tokens, lengths }: Lexicon): (text: string, at: number) => string | undefined {
  const sorted = new Map(Array.from(lengths, ([first, all]) => [first, [...all].sort((a, b) => b - a)]));
  return (text, at) => {
    for (const length of sorted.get(text[at] ?? "") ?? []) {
      const content = text.slice(at, at + length);
      if (content.length === length && tokens.has(content)) return content;
    }
    return undefined;
  };
}

/** Leftmost longest matches, as Rust's AddedVocabulary finds them. */
function finderOf(lexicon: Lexicon): (a: Aligned) => Stretch[] {
  const match = makeMatcher(lexicon);
  return (a) => find(a, match, lexicon.tokens);
}

function find(
  a: Aligned,
  match: (text: string, at: number) => string | undefined,
  tokens: ReadonlyMap<string, AddedToken>,
): Stretch[] {
  const out: Stretch[] = [];
  let done = 0; // everything before has been handed out
  for (let at = 0; at < a.text.length; ) {
    const content = match(a.text, at) ?? "";
    const token = tokens.get(content);
    if (!token) {
      at++;
      continue;
    }
    let from = at;
    let to = at + content.length;
    at = to;
    if (token.singleWord && touchesWord(a.text, from, to)) continue;
    if (token.lstrip) from = Math.max(done, spaceBefore(a.text, from));
    if (token.rstrip) to = spaceAfter(a.text, to);
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
