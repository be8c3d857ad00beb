import type { AddedToken, Stretch } from "./added_tokens.js";
import { makeFinder, nextId } from "./added_tokens.js";
import { align, originalSpan } from "./aligned.js";
import { readDecoder } from "./decoders.js";
import type { Json } from "./json.js";
import type { VocabModel } from "./models.js";
import { readNormalizer } from "./normalizers.js";
import type { PostProcessor, Token } from "./post_processors.js";
import { readPostProcessor } from "./post_processors.js";
import { readPreTokenizer } from "./pre_tokenizers.js";

/**
 * The parts of tokenizer.json at work: text to tokens and back, without special tokens, truncation or
 * padding.
 */
export type Pipeline = {
  readonly model: VocabModel;
  readonly added: ReadonlyMap<string, AddedToken>;
  readonly post: PostProcessor;
  /** Adds tokens, each with its id in the vocabulary, or the next one. How many were no added tokens yet. */
  add(tokens: readonly Omit<AddedToken, "id">[]): number;
  /** `sequence`: 0, or 1 for the second text of a pair. */
  tokenize(text: string, sequence: number): Token[];
  /** Ids that no token has are left out. */
  tokensOf(ids: Iterable<number>, skipSpecial: boolean): string[];
  decodeTokens(tokens: readonly string[]): string;
  idOf(token: string): number | undefined;
  tokenOf(id: number): string | undefined;
};

/**
 * Builds the pipeline from tokenizer.json, its model, all added tokens, and the post-processor to use; errors
 * name the `file`.
 */
export function makePipeline(
  json: Json,
  model: VocabModel,
  added: Map<string, AddedToken>,
  { post, file }: { readonly post: unknown; readonly file: string },
): Pipeline {
  const preTokenize = readPreTokenizer(json["pre_tokenizer"], `${file}: pre_tokenizer`);
  const normalize = readNormalizer(json["normalizer"], `${file}: normalizer`);
  let find = makeFinder(added.values(), normalize);
  const decodeTokens = readDecoder(json["decoder"], `${file}: decoder`);
  const tokens = new Map<number, string>();
  for (const [token, id] of model.vocab) tokens.set(id, token);
  const special = new Set<number>();
  const enter = (token: AddedToken): void => {
    tokens.set(token.id, token.normalized ? normalize(align(token.content)).text : token.content);
    if (token.special) special.add(token.id);
  };
  for (const token of added.values()) enter(token);
  const fromStretch = (stretch: Stretch): Omit<Token, "typeId" | "added">[][] => {
    const { text, token } = stretch;
    if (token) {
      const [start, end] = originalSpan(text, 0, text.text.length);
      return [[{ id: token.id, token: text.text, start, end }]];
    }
    return preTokenize([text]).map((piece) =>
      model.tokenize(piece.text).map(({ id, from, to }) => {
        const [start, end] = originalSpan(piece, from, to);
        return { id, token: tokens.get(id) ?? "", start, end };
      }),
    );
  };
  return {
    model,
    added,
    post: readPostProcessor(post, `${file}: post_processor`),
    add: (more) => {
      let count = 0;
      for (const token of more) {
        if (token.content === "" || added.has(token.content)) continue;
        const id = model.vocab.get(token.content) ?? nextId(added.values(), model.vocab.size);
        added.set(token.content, { ...token, id });
        enter({ ...token, id });
        count++;
      }
      find = makeFinder(added.values(), normalize);
      return count;
    },
    tokenize: (text, sequence) =>
      find(text)
        .flatMap(fromStretch)
        .flatMap((list, word) =>
          list.map((token) => ({ ...token, typeId: sequence, added: false, sequence, word })),
        ),
    tokensOf: (ids, skipSpecial) => {
      const kept: string[] = [];
      for (const id of ids) {
        const token = tokens.get(id);
        if (token !== undefined && !(skipSpecial && special.has(id))) kept.push(token);
      }
      return kept;
    },
    decodeTokens: (list) => decodeTokens(list).join(""),
    idOf: (token) => added.get(token)?.id ?? model.vocab.get(token),
    tokenOf: (id) => tokens.get(id),
  };
}
