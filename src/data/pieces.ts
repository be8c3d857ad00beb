import type { TokenizerLike } from "./types.js";

/** A part of a sample's text, and whether it is learnt. */
export interface PreviewPiece {
  readonly text: string;
  /** Whether the loss reads it. */
  readonly learnt: boolean;
}

/** What a preview writes with. */
export interface Paint {
  readonly tokenizer: TokenizerLike;
  /** The name of a class. */
  name(id: number): string;
}

export const read = (text: string): PreviewPiece => ({ text, learnt: false });
export const learnt = (text: string): PreviewPiece => ({ text, learnt: true });

/** All of the text, special tokens included. */
export function whole(ids: Int32Array, tokenizer: TokenizerLike): string {
  return tokenizer.decode([...ids], { skipSpecialTokens: false });
}

/**
 * The text in runs of chosen and other tokens. A decoder drops a leading space, so a run's text is what it
 * adds to the text before it, where decoding is that regular.
 */
export function runs(
  ids: Int32Array,
  isChosen: (i: number) => boolean,
  tokenizer: TokenizerLike,
): PreviewPiece[] {
  const out: PreviewPiece[] = [];
  let before = "";
  for (let from = 0; from < ids.length; ) {
    let to = from + 1;
    while (to < ids.length && isChosen(to) === isChosen(from)) to++;
    const upTo = whole(ids.slice(0, to), tokenizer);
    const text = upTo.startsWith(before) ? upTo.slice(before.length) : whole(ids.slice(from, to), tokenizer);
    out.push({ text, learnt: isChosen(from) });
    before = upTo;
    from = to;
  }
  return out;
}
