import type { TokenizerLike } from "../types.js";
import { type Asked, type Completions, idsOf, textsOf } from "./completions.js";

/** Where a completion of its own begins: prompts of a pair may differ by a token that merged. */
export interface Sequence {
  readonly ids: readonly number[];
  /** Tokens of the prompt. */
  readonly start: number;
}

/**
 * As TRL's ORPO, CPO and BCO: tokenized without special tokens; where the prompt's tokens are no beginning of
 * the whole, its last one is the completion's; the start token in front, where there is one, the end token
 * behind, where it does not stand there; then cut from the right. `reserve`: cut before these are added, so
 * that they stay (BCO).
 */
export function separateCompletions(
  asked: Asked,
  tokenizer: TokenizerLike,
  { maxLength, reserve = false }: { readonly maxLength: number; readonly reserve?: boolean },
): readonly Sequence[] {
  const { prompt, completions } = textsOf(asked, tokenizer);
  const bare = (text: string): number[] => idsOf(tokenizer, text, false);
  const { bosTokenId: bos, eosTokenId: eos } = tokenizer;
  const alone = bare(prompt);
  return completions.map((text) => {
    const whole = bare(prompt + text);
    const isBeginning = alone.every((id, i) => whole[i] === id);
    const start = isBeginning ? alone.length : Math.max(0, alone.length - 1);
    const front = bos === undefined || whole[0] === bos ? [] : [bos];
    const end = eos === undefined || whole.at(-1) === eos ? [] : [eos];
    const kept = reserve ? whole.slice(0, Math.max(0, maxLength - front.length - end.length)) : whole;
    const ids = [...front, ...kept, ...end].slice(0, maxLength);
    return { ids, start: Math.min(start + front.length, ids.length) };
  });
}

/** As the same of encoder-decoders: each with the tokenizer's own special tokens, completions cut. */
export function encodedCompletions(
  asked: Asked,
  tokenizer: TokenizerLike,
  { maxLength }: { readonly maxLength: number },
): Completions {
  const { prompt, completions, isChat } = textsOf(asked, tokenizer);
  const cut = (text: string): number[] => {
    const ids = idsOf(tokenizer, text, !isChat);
    if (ids.length <= maxLength) return ids;
    const { inputIds } = tokenizer(text, { addSpecialTokens: !isChat, truncation: true, maxLength });
    return inputIds[0] ?? [];
  };
  return { prompt: idsOf(tokenizer, prompt, !isChat), completions: completions.map(cut) };
}
