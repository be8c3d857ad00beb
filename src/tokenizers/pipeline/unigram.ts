/**
 * A stretch of a text: [from, to) in UTF-16 units, and its id; undefined where the vocabulary has no such
 * token.
 */
export type PathStep = { readonly id: number | undefined; readonly from: number; readonly to: number };

/** Few tokens are longer than this. */
const PREFIX = 32;

export type UnigramLimits = {
  readonly unknownScore: number;
  /** UTF-16 units of the longest token. */
  readonly longest: number;
  /** The first 32, 64, 128... units of tokens that are longer: a search for them ends where none fits. */
  readonly prefixes: ReadonlySet<string>;
};

export function unigramLimits(tokens: Iterable<string>, scores: Float64Array): UnigramLimits {
  const prefixes = new Set<string>();
  let longest = 1;
  for (const token of tokens) {
    longest = Math.max(longest, token.length);
    for (let size = PREFIX; size < token.length; size *= 2) prefixes.add(token.slice(0, size));
  }
  const unknownScore = scores.reduce((low, score) => Math.min(low, score), Number.POSITIVE_INFINITY) - 10;
  return { unknownScore, longest, prefixes };
}

/**
 * The best path through a unigram vocabulary: of all ways to cut a text into tokens, that with the highest
 * sum of scores. A character that no token covers alone costs `unknownScore`. Of equal paths the one seen
 * first stays. Tokens are looked up in the vocabulary itself: @huggingface/tokenizers builds a trie of
 * maps, which for mt5's 250100 tokens takes 4 s and 500 MB. Reference:
 * tokenizers/src/models/unigram/model.rs (encode_optimized)
 */
export function bestPath(
  text: string,
  vocab: ReadonlyMap<string, number>,
  scores: ArrayLike<number>,
  limits: UnigramLimits,
): PathStep[] {
  const size = text.length;
  const best = new Float64Array(size + 1);
  const cameFrom = new Int32Array(size + 1).fill(-1);
  const ids = new Int32Array(size + 1).fill(-1);
  const offer = (from: number, to: number, score: number, id: number): void => {
    const sum = best[from]! + score;
    if (cameFrom[to]! >= 0 && sum <= best[to]!) return;
    best[to] = sum;
    cameFrom[to] = from;
    ids[to] = id;
  };
  for (let from = 0; from < size; ) {
    const single = charLength(text, from);
    let covered = false; // a token of one character starts here
    let step = PREFIX;
    for (let to = from + single; to <= Math.min(size, from + limits.longest); to += charLength(text, to)) {
      if (to - from > step && !limits.prefixes.has(text.slice(from, from + step))) break;
      if (to - from > step) step *= 2;
      const id = vocab.get(text.slice(from, to));
      if (id === undefined) continue;
      offer(from, to, scores[id]!, id);
      if (to === from + single) covered = true;
    }
    if (!covered) offer(from, from + single, limits.unknownScore, -1);
    from += single;
  }
  const path: PathStep[] = [];
  for (let to = size; to > 0; to = cameFrom[to]!) {
    const id = ids[to]!;
    path.push({ id: id < 0 ? undefined : id, from: cameFrom[to]!, to });
  }
  return path.reverse();
}

function charLength(text: string, at: number): number {
  return (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
}
