import { learnt, read } from "../pieces.js";
import { labelText, rowLabelFault, rowLabels } from "./row_labels.js";
import type { DataTask } from "./task.js";

/** A clip with one label, several, or a number. Its features are made when its batch is. */
export const audioCls: DataTask<"AUDIO_CLS"> = {
  name: "AUDIO_CLS",
  readsText: false,
  accepts: ["sound"],
  tables: ["sound"],
  encode(row) {
    if (row.kind !== "sound") return `a row of kind "${row.kind}"`;
    const { audio: media, problemType } = row;
    const fields = { inputIds: new Int32Array(0), media, problemType, labels: Float32Array.from(row.labels) };
    const isMasked = problemType === "single_label_classification" && row.labels[0] === -100;
    return { fields, truncated: false, labelsCut: false, learnt: isMasked ? 0 : 1 };
  },
  collate: (samples) => rowLabels(samples),
  preview: (sample, { name }) => [read(`${sample.at} -> `), learnt(labelText(sample, name))],
  labelFault: rowLabelFault,
};
