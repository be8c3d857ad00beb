import { at } from "../../present.js";
import { documentTokens } from "../document_tokens.js";
import { count } from "../faults.js";
import { nameIds } from "../kinds/labels.js";
import { column, stack } from "../padding.js";
import { learnt, read, whole } from "../pieces.js";
import type { DocumentRow } from "../row.js";
import { encodePair, pairsOf } from "./pairs.js";
import {
  classFault,
  type DataTask,
  documentInputs,
  type EncodeContext,
  type Encoded,
  encodeText,
} from "./task.js";

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
    const problemType = samples[0]?.problemType ?? "single_label_classification";
    const labels = samples.map((sample) => sample.labels);
    if (problemType !== "single_label_classification") return { problemType, labels: stack(labels) };
    return { problemType, labels: column(labels.map((label) => at(label, 0))) };
  },
  preview({ inputIds, labels, problemType, others }, { tokenizer, name }) {
    if (others !== undefined) {
      const worse = others.map((other) => read(whole(other.inputIds, tokenizer)));
      return [learnt(whole(inputIds, tokenizer)), read(" > "), ...worse];
    }
    const values = [...labels];
    const names = {
      regression: () => String(Number(at(values, 0).toPrecision(7))), // as the file has it, not as f32 does
      single_label_classification: () => name(at(values, 0)),
      multi_label_classification: () => values.flatMap((v, id) => (v > 0 ? [name(id)] : [])).join(", "),
    };
    return [read(`${whole(inputIds, tokenizer)} -> `), learnt(names[problemType]())];
  },
  labelFault({ problemType, labels, others }, numLabels) {
    if (others !== undefined) return numLabels === 1 ? undefined : "a pair, which one number tells apart";
    if (problemType === "single_label_classification") return classFault(labels, numLabels);
    return labels.length === numLabels ? undefined : count(labels.length, "label");
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
  const fields = { ...documentInputs(tokens), problemType, labels: Float32Array.of(row.label) };
  return { fields, truncated: tokens.truncated, labelsCut: false, learnt: row.label === -100 ? 0 : 1 };
}
