import { ignoreIndex, type TaskType } from "./batch.js";
import type { Sample } from "./sample.js";
import type { TokenizerLike } from "./types.js";

export interface PreviewOptions {
  /** How learnt tokens are marked: in brackets, or green on a terminal. */
  style?: "brackets" | "ansi";
  labelNames?: readonly string[];
}

/** The first `n` samples as the model sees them, special tokens included, with what is learnt marked. */
export function preview(
  samples: readonly Sample[],
  tokenizer: TokenizerLike,
  n = 3,
  { style = "brackets", labelNames = [] }: PreviewOptions = {},
): string[] {
  const mark = (text: string): string => (style === "ansi" ? `\u001b[32m${text}\u001b[0m` : `[${text}]`);
  return samples.slice(0, n).map((sample) => {
    const painter: (sample: never, p: Paint) => string = painters[sample.task];
    return painter(sample as never, { tokenizer, mark, name: (id) => labelNames[id] ?? String(id) });
  });
}

interface Paint {
  tokenizer: TokenizerLike;
  mark(text: string): string;
  name(id: number): string;
}

const painters: { readonly [T in TaskType]: (sample: Sample<T>, paint: Paint) => string } = {
  CAUSAL_LM: ({ inputIds, labels }, { tokenizer, mark }) =>
    runs(inputIds, (i) => labels[i] !== ignoreIndex, tokenizer)
      .map(({ text, chosen }) => (chosen ? mark(text) : text))
      .join(""),
  SEQ_2_SEQ_LM: ({ inputIds, labels }, { tokenizer, mark }) =>
    `${whole(inputIds, tokenizer)} -> ${mark(whole(labels, tokenizer))}`,
  SEQ_CLS: ({ inputIds, labels, problemType }, { tokenizer, mark, name }) => {
    const text = whole(inputIds, tokenizer);
    const values = [...labels];
    if (problemType === "regression") return `${text} -> ${mark(String(values[0]))}`;
    if (problemType === "single_label_classification") return `${text} -> ${mark(name(values[0]!))}`;
    return `${text} -> ${mark(values.flatMap((value, id) => (value > 0 ? [name(id)] : [])).join(", "))}`;
  },
  TOKEN_CLS: ({ inputIds, labels }, { tokenizer, mark, name }) =>
    [...inputIds]
      .map((id, i) => {
        const text = tokenizer.decode([id], { skipSpecialTokens: false }).trim();
        return labels[i] === ignoreIndex ? text : `${text}${mark(name(labels[i]!))}`;
      })
      .join(" "),
  QUESTION_ANS: ({ inputIds, start, end }, { tokenizer, mark }) =>
    runs(inputIds, (i) => i >= start && i <= end, tokenizer)
      .map(({ text, chosen }) => (chosen ? mark(text) : text))
      .join(""),
  FEATURE_EXTRACTION: ({ inputIds }, { tokenizer }) => whole(inputIds, tokenizer),
};

function whole(ids: Int32Array, tokenizer: TokenizerLike): string {
  return tokenizer.decode([...ids], { skipSpecialTokens: false });
}

/**
 * The text in runs of chosen and other tokens. A decoder drops a leading space, so a run's text is what it adds to the text
 * before it, where decoding is that regular.
 */
function runs(
  ids: Int32Array,
  isChosen: (i: number) => boolean,
  tokenizer: TokenizerLike,
): { text: string; chosen: boolean }[] {
  const out: { text: string; chosen: boolean }[] = [];
  let before = "";
  for (let from = 0; from < ids.length; ) {
    let to = from + 1;
    while (to < ids.length && isChosen(to) === isChosen(from)) to++;
    const upTo = whole(ids.slice(0, to), tokenizer);
    const text = upTo.startsWith(before) ? upTo.slice(before.length) : whole(ids.slice(from, to), tokenizer);
    out.push({ text, chosen: isChosen(from) });
    before = upTo;
    from = to;
  }
  return out;
}
