import { nameIds } from "../kinds/labels.js";
import type { Encoder } from "./encoder.js";
import { encodeText } from "./encoder.js";

/** A text, or a pair of texts, with one label, several, or a number. A prompt's target may be the label's name. */
export const seqCls: Encoder<"SEQ_CLS"> = {
  accepts: ["classify", "prompt"],
  encode(row, context) {
    if (row.kind === "prompt") {
      if (context.labels === undefined) {
        return 'a target as text, but no list of classes: give labels, or taskType: "SEQ_CLS" to loadDataset';
      }
      const faults: { at: string; says: string }[] = [];
      const id = nameIds(context.labels)(row.target, row.at, faults);
      if (id === undefined) return faults[0]!.says;
      const { inputs, truncated } = encodeText(context, row.prompt, context.maxLength);
      const problemType = "single_label_classification" as const;
      const fields = { ...inputs, problemType, labels: Float32Array.of(id) };
      return { fields, truncated, labelsCut: false, learnt: 1 };
    }
    if (row.kind !== "classify") return `a row of kind "${row.kind}"`;
    const { inputs, truncated } = encodeText(context, row.text, context.maxLength, row.pair);
    const fields = { ...inputs, problemType: row.problemType, labels: Float32Array.from(row.labels) };
    const masked = row.problemType === "single_label_classification" && row.labels[0] === -100;
    return { fields, truncated, labelsCut: false, learnt: masked ? 0 : 1 };
  },
};
