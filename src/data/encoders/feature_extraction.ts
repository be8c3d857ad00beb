import { type Encoder, encodeText } from "./encoder.js";

/** Texts alone; what is learnt from them is the caller's loss. */
export const featureExtraction: Encoder<"FEATURE_EXTRACTION"> = {
  accepts: ["text", "classify", "prompt"],
  encode(row, context) {
    if (row.kind !== "text" && row.kind !== "classify" && row.kind !== "prompt")
      return `a row of kind "${row.kind}"`;
    const text = row.kind === "prompt" ? row.prompt : row.text;
    const pair = row.kind === "classify" ? row.pair : undefined;
    const { inputs, truncated } = encodeText(context, text, context.maxLength, pair);
    return { fields: inputs, truncated, labelsCut: false, learnt: undefined };
  },
};
