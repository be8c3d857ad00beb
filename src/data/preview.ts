import { refuseUnknown } from "../arguments.js";
import { printable } from "../printable.js";
import { ignoreIndex, type TaskType } from "./batch.js";
import type { Sample } from "./sample.js";
import type { TokenizerLike } from "./types.js";

export interface PreviewOptions {
  /** How learnt tokens are marked: in brackets, or green on a terminal. @default "brackets" */
  style?: "brackets" | "ansi";
  /** Names of the classes in the order of their ids. @default the ids */
  labelNames?: readonly string[];
}

/** A part of a sample's text, and whether it is learnt. */
export interface PreviewPiece {
  readonly text: string;
  readonly learnt: boolean;
}

const styles: { readonly [S in "brackets" | "ansi"]: (piece: PreviewPiece) => string } = {
  brackets: ({ text, learnt }) => (learnt ? `[${text}]` : text),
  ansi: ({ text, learnt }) => (learnt ? `\u001b[32m${printable(text)}\u001b[0m` : printable(text)),
};

/** The first `n` samples as the model sees them, special tokens included, with what is learnt marked. */
export function preview(
  samples: readonly Sample[],
  tokenizer: TokenizerLike,
  n = 3,
  options: PreviewOptions = {},
): string[] {
  refuseUnknown("preview", options, { style: {}, labelNames: {} });
  const { style = "brackets", labelNames = [] } = options;
  return samples
    .slice(0, n)
    .map((sample) => previewPieces(sample, tokenizer, labelNames).map(styles[style]).join(""));
}

/** One sample as the model sees it, in pieces that are learnt or not, for whoever marks them otherwise. */
export function previewPieces(
  sample: Sample,
  tokenizer: TokenizerLike,
  labelNames: readonly string[] = [],
): PreviewPiece[] {
  const painter: (sample: never, p: Paint) => PreviewPiece[] = painters[sample.task];
  return painter(sample as never, { tokenizer, name: (id) => labelNames[id] ?? String(id) });
}

interface Paint {
  tokenizer: TokenizerLike;
  name(id: number): string;
}

const read = (text: string): PreviewPiece => ({ text, learnt: false });
const learnt = (text: string): PreviewPiece => ({ text, learnt: true });

const painters: { readonly [T in TaskType]: (sample: Sample<T>, paint: Paint) => PreviewPiece[] } = {
  CAUSAL_LM: ({ inputIds, labels }, { tokenizer }) =>
    runs(inputIds, (i) => labels[i] !== ignoreIndex, tokenizer),
  SEQ_2_SEQ_LM: ({ inputIds, labels }, { tokenizer }) => [
    read(`${whole(inputIds, tokenizer)} -> `),
    learnt(whole(labels, tokenizer)),
  ],
  SEQ_CLS: ({ inputIds, labels, problemType }, { tokenizer, name }) => {
    const values = [...labels];
    const names = {
      regression: () => String(Number(values[0]!.toPrecision(7))), // as the file has it, not as f32 does
      single_label_classification: () => name(values[0]!),
      multi_label_classification: () => values.flatMap((v, id) => (v > 0 ? [name(id)] : [])).join(", "),
    };
    return [read(`${whole(inputIds, tokenizer)} -> `), learnt(names[problemType]())];
  },
  TOKEN_CLS: ({ inputIds, labels }, { tokenizer, name }) =>
    [...inputIds].flatMap((id, i) => {
      const text = `${i === 0 ? "" : " "}${tokenizer.decode([id], { skipSpecialTokens: false }).trim()}`;
      return labels[i] === ignoreIndex ? [read(text)] : [read(text), learnt(name(labels[i]!))];
    }),
  QUESTION_ANS: ({ inputIds, start, end }, { tokenizer }) =>
    runs(inputIds, (i) => i >= start && i <= end, tokenizer),
  FEATURE_EXTRACTION: ({ inputIds }, { tokenizer }) => [read(whole(inputIds, tokenizer))],
};

function whole(ids: Int32Array, tokenizer: TokenizerLike): string {
  return tokenizer.decode([...ids], { skipSpecialTokens: false });
}

/**
 * The text in runs of chosen and other tokens. A decoder drops a leading space, so a run's text is what it adds to the text
 * before it, where decoding is that regular.
 */
function runs(ids: Int32Array, isChosen: (i: number) => boolean, tokenizer: TokenizerLike): PreviewPiece[] {
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
