import type { DataTask } from "./task.js";
import { padLabels } from "./task.js";

/** A clip, and the tokens of what is spoken in it, which a decoder writes. */
export const speechSeq2Seq: DataTask<"SPEECH_SEQ_2_SEQ"> = {
  name: "SPEECH_SEQ_2_SEQ",
  accepts: [],
  tables: [],
  encode: (row) => `a row of kind "${row.kind}"`,
  collate: (samples, _inputs, options) => ({
    labels: padLabels(samples, { ...options, paddingSide: "right" }),
  }),
  preview: () => [],
  target: ({ labels }) => labels,
};
