import { refuseUnknown } from "../arguments.js";
import { printable } from "../printable.js";
import type { PreviewPiece } from "./pieces.js";
import type { Sample } from "./sample.js";
import { dataTaskOf } from "./tasks/registry.js";
import type { TokenizerLike } from "./types.js";

/** How samples are shown. */
export interface PreviewOptions {
  /** How learnt tokens are marked: in brackets, or green on a terminal. @default "brackets" */
  style?: "brackets" | "ansi";
  /** Names of the classes in the order of their ids. @default the ids */
  labelNames?: readonly string[];
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
  return dataTaskOf(sample.task).preview(sample, { tokenizer, name: (id) => labelNames[id] ?? String(id) });
}
