import { learnt, read, whole } from "../pieces.js";
import { type DataTask, encodeText, learntOf, padLabels } from "./task.js";

/**
 * The prompt is the encoder's input; the target, with the special tokens the tokenizer puts around it, is
 * learnt.
 */
export const seq2SeqLM: DataTask<"SEQ_2_SEQ_LM"> = {
  name: "SEQ_2_SEQ_LM",
  accepts: ["prompt"],
  tables: ["prompt"],
  encode(row, context) {
    if (row.kind !== "prompt") return `a row of kind "${row.kind}"`;
    const input = encodeText(context, row.prompt, context.maxLength);
    const target = encodeText(context, row.target, context.maxTargetLength);
    const labels = target.inputs.inputIds;
    return {
      fields: { inputIds: input.inputs.inputIds, labels },
      truncated: input.truncated || target.truncated,
      labelsCut: target.truncated,
      learnt: row.target === "" ? 0 : labels.length,
    };
  },
  collate: (samples, _inputs, options) => ({
    labels: padLabels(samples, { ...options, paddingSide: "right" }),
  }),
  preview: ({ inputIds, labels }, { tokenizer }) => [
    read(`${whole(inputIds, tokenizer)} -> `),
    learnt(whole(labels, tokenizer)),
  ],
  target: ({ labels }) => labels,
  question: ({ inputIds, labels }) => ({ ids: [...inputIds], expected: learntOf(labels) }),
};
