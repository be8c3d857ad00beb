import { read, whole } from "../pieces.js";
import { type DataTask, encodeText } from "./task.js";

/** Texts alone; what is learnt from them is the caller's loss. */
export const featureExtraction: DataTask<"FEATURE_EXTRACTION"> = {
  name: "FEATURE_EXTRACTION",
  accepts: ["text", "classify", "prompt"],
  tables: ["text", "classify"],
  encode(row, context) {
    if (row.kind !== "text" && row.kind !== "classify" && row.kind !== "prompt")
      return `a row of kind "${row.kind}"`;
    const text = row.kind === "prompt" ? row.prompt : row.text;
    const pair = row.kind === "classify" ? row.pair : undefined;
    const { inputs, truncated } = encodeText(context, text, context.maxLength, pair);
    return { fields: inputs, truncated, labelsCut: false, learnt: undefined };
  },
  collate: () => ({}),
  preview: ({ inputIds }, { tokenizer }) => [read(whole(inputIds, tokenizer))],
};
