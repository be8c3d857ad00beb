import { learnt, read } from "../pieces.js";
import { labelText, rowLabelFault, rowLabels } from "./row_labels.js";
import type { DataTask } from "./task.js";

/** A picture with one label, several, or a number. Its pixels are made when its batch is. */
export const imageCls: DataTask<"IMAGE_CLS"> = {
  name: "IMAGE_CLS",
  accepts: ["picture"],
  tables: ["picture"],
  readsText: false,
  encode(row) {
    if (row.kind !== "picture") return `a row of kind "${row.kind}"`;
    const { image: media, problemType } = row;
    const fields = { inputIds: new Int32Array(0), media, problemType, labels: Float32Array.from(row.labels) };
    const isMasked = problemType === "single_label_classification" && row.labels[0] === -100;
    return { fields, truncated: false, labelsCut: false, learnt: isMasked ? 0 : 1 };
  },
  collate: (samples) => ({ labels: rowLabels(samples).labels }),
  preview: (sample, { name }) => [read(`${sample.at} -> `), learnt(labelText(sample, name))],
  labelFault: rowLabelFault,
};
