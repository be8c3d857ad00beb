import type { DataTask } from "./task.js";
import { classFault, padLabels } from "./task.js";

/** A clip with a class for each of its frames: who speaks. */
export const audioFrameCls: DataTask<"AUDIO_FRAME_CLS"> = {
  name: "AUDIO_FRAME_CLS",
  accepts: [],
  tables: [],
  encode: (row) => `a row of kind "${row.kind}"`,
  collate: (samples, _inputs, options) => ({
    labels: padLabels(samples, { ...options, paddingSide: "right" }),
  }),
  preview: () => [],
  labelFault: ({ labels }, numLabels) => classFault(labels, numLabels),
};
