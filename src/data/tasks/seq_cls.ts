import { at } from "../../present.js";
import { documentTokens } from "../document_tokens.js";
import { nameIds } from "../kinds/labels.js";
import { learnt, read, whole } from "../pieces.js";
import type { DocumentRow } from "../row.js";
import { encodePair, pairsOf } from "./pairs.js";
import { labelText, rowLabelFault, rowLabels } from "./row_labels.js";
import { type DataTask, documentInputs, type EncodeContext, type Encoded, encodeText } from "./task.js";

/**
 * A text, or a pair of texts, with one label, several, or a number. A prompt's target may be the label's
 * name.
 */
export const seqCls: DataTask<"SEQ_CLS"> = {
  name: "SEQ_CLS",
  accepts: ["classify", "prompt", "document", "preference"],
  tables: ["document", "classify", "preference"],
  templated: "classify",
  encode(row, context) {
    if (row.kind === "document") return encodeDocument(row, context);
    if (row.kind === "prompt") {
      if (context.labels === undefined) {
        return 'a target as text, but no list of classes: give labels, or taskType: "SEQ_CLS" to loadDataset';
      }
      const faults: { at: string; says: string }[] = [];
      const id = nameIds(context.labels)(row.target, row.at, faults);
      if (id === undefined) return at(faults, 0).says;
      const { inputs, truncated } = encodeText(context, row.prompt, context.maxLength);
      const problemType = "single_label_classification" as const;
      const fields = { ...inputs, problemType, labels: Float32Array.of(id) };
      return { fields, truncated, labelsCut: false, learnt: 1 };
    }
    if (row.kind === "preference") return encodePair(row, context);
    if (row.kind !== "classify") return `a row of kind "${row.kind}"`;
    const { inputs, truncated } = encodeText(context, row.text, context.maxLength, row.pair);
    const fields = { ...inputs, problemType: row.problemType, labels: Float32Array.from(row.labels) };
    const masked = row.problemType === "single_label_classification" && row.labels[0] === -100;
    return { fields, truncated, labelsCut: false, learnt: masked ? 0 : 1 };
  },
  collate(samples) {
    if (samples[0]?.others !== undefined) return pairsOf(samples);
    return rowLabels(samples);
  },
  preview(sample, { tokenizer, name }) {
    const { inputIds, others } = sample;
    if (others === undefined)
      return [read(`${whole(inputIds, tokenizer)} -> `), learnt(labelText(sample, name))];
    const worse = others.map((other) => read(whole(other.inputIds, tokenizer)));
    return [learnt(whole(inputIds, tokenizer)), read(" > "), ...worse];
  },
  labelFault(sample, numLabels) {
    if (sample.others === undefined) return rowLabelFault(sample, numLabels);
    return numLabels === 1 ? undefined : "a pair, which one number tells apart";
  },
};

/** A page with its class. */
function encodeDocument(
  row: DocumentRow,
  { tokenizer, maxLength }: EncodeContext,
): Encoded<"SEQ_CLS"> | string {
  if (row.label === undefined) return "a document without a label of its own";
  const tokens = documentTokens(row, tokenizer, maxLength);
  const problemType = "single_label_classification" as const;
  const fields = { ...documentInputs(tokens, row), problemType, labels: Float32Array.of(row.label) };
  return { fields, truncated: tokens.truncated, labelsCut: false, learnt: row.label === -100 ? 0 : 1 };
}
