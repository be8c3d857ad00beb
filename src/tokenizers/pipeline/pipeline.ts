import type { AddedToken, Stretch } from "./added_tokens.js";
import { makeFinder } from "./added_tokens.js";
import { originalSpan } from "./aligned.js";
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
  /** `sequence`: 0, or 1 for the second text of a pair. */
  tokenize(text: string, sequence: number): Token[];
  decode(ids: Iterable<number>, skipSpecial: boolean): string;
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
  added: ReadonlyMap<string, AddedToken>,
  { post, file }: { readonly post: unknown; readonly file: string },
): Pipeline {
  const preTokenize = readPreTokenizer(json["pre_tokenizer"], `${file}: pre_tokenizer`);
  const find = makeFinder(added.values(), readNormalizer(json["normalizer"], `${file}: normalizer`));
  const decodeTokens = readDecoder(json["decoder"], `${file}: decoder`);
  const tokens = tokensById(model, added);
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
    tokenize: (text, sequence) =>
      find(text)
        .flatMap(fromStretch)
        .flatMap((list, word) =>
          list.map((token) => ({ ...token, typeId: sequence, added: false, sequence, word })),
        ),
    decode: (ids, skipSpecial) => {
      const kept: string[] = [];
      for (const id of ids) {
        const token = tokens.get(id);
        if (token !== undefined && !(skipSpecial && added.get(token)?.special)) kept.push(token);
      }
      return decodeTokens(kept).join("");
    },
    idOf: (token) => added.get(token)?.id ?? model.vocab.get(token),
    tokenOf: (id) => tokens.get(id),
  };
}

function tokensById(model: VocabModel, added: ReadonlyMap<string, AddedToken>): Map<number, string> {
  const tokens = new Map<number, string>();
  for (const [token, id] of model.vocab) tokens.set(id, token);
  for (const { id, content } of added.values()) tokens.set(id, content);
  return tokens;
}
