import { seqCls } from "./seq_cls.js";
import type { DataTask } from "./task.js";
import { classFault } from "./task.js";

/** A clip with one label, several, or a number. */
export const audioCls: DataTask<"AUDIO_CLS"> = {
  name: "AUDIO_CLS",
  readsText: false,
  accepts: [],
  tables: [],
  encode: (row) => `a row of kind "${row.kind}"`,
  collate: (samples, inputs, options) =>
    seqCls.collate(
      samples.map((sample) => ({ ...sample, task: "SEQ_CLS" })),
      inputs,
      options,
    ),
  preview: () => [],
  labelFault: ({ labels }, numLabels) => classFault(labels, numLabels),
};
