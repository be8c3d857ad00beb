import type { Shape } from "../graph/dims.js";
import { addDims, axes } from "../graph/dims.js";
import type { Column, Input, InputsFor, Lengths, SpecialTokens } from "../graph/inputs.js";
import { counting, filled, padFront, tokenInput, total } from "../graph/inputs.js";
import { at } from "../present.js";
import type { TextInputs } from "./model.js";

/** Which tokens are real, where a batch says so. Cached and virtual ones are. */
function maskInput(name: string): Input {
  return {
    name,
    role: "mask",
    dtype: "i64",
    means: "1 where there is a token",
    shape: (at) => [at.batch, total(at)],
    feed: (own, { past, virtual }) => own && padFront(own, past + virtual, 1),
  };
}

/** Where tokens stand: those behind a cache go on counting. */
function positionsInput(name: string): Input {
  return {
    name,
    role: "token",
    dtype: "i64",
    shape: ({ batch, virtual, length }) => [batch, addDims(virtual, length)],
    feed: (own, { batch, past, virtual, length }) => own ?? counting(batch, past, virtual + length),
  };
}

function tokensInput(name: string, more: Pick<Input, "read" | "means"> = {}): Input {
  const shape = ({ batch, length }: Lengths): Shape => [batch, length];
  return { name, role: "tokens", dtype: "i64", shape, feed: (own) => own, ...more };
}

/** What a model of text reads. */
export const textInputs: InputsFor<TextInputs> = {
  ids: tokensInput("inputIds"),
  mask: maskInput("attentionMask"),
  positions: positionsInput("positionIds"),
  typeIds: tokenInput("tokenTypeIds", "i64", [], 0),
};

/** What the decoder of an encoder-decoder reads. All of its tokens count: the loss masks padding. */
export const decoderInputs: InputsFor<Omit<TextInputs, "typeIds">> = {
  ids: tokensInput("decoderInputIds", {
    means: "what the decoder reads; labels say it too, and to answer freely there is generate()",
    read: (column, c) => column("decoderInputIds") ?? shiftedRight(column("labels"), c),
  }),
  mask: {
    ...maskInput("decoderAttentionMask"),
    feed: (_, at) => filled([at.batch, at.past + at.virtual + at.length], 1),
  },
  positions: positionsInput("decoderPositionIds"),
};

/**
 * Labels moved right by one, after the start token, or after the last label that is no padding; ignored ones
 * become padding.
 */
function shiftedRight(labels: Column | undefined, c: SpecialTokens): Column | undefined {
  if (labels === undefined) return undefined;
  const [rows, columns] = axes(labels.shape, 2);
  const padding = c.padTokenId ?? 0;
  const out = filled([rows, columns], padding);
  for (let i = 0; i < rows; i++) {
    const own = Array.from(labels.data.subarray(i * columns, (i + 1) * columns));
    const last = c.startsWithLastLabel ? own.findLast((label) => label >= 0 && label !== padding) : undefined;
    out.data[i * columns] = last ?? c.decoderStartTokenId ?? padding;
    for (let j = 1; j < columns; j++) {
      const label = at(labels.data, i * columns + j - 1);
      if (label >= 0) out.data[i * columns + j] = label;
    }
  }
  return out;
}
