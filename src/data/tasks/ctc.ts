import type { DataTask } from "./task.js";
import { padLabels } from "./task.js";

/** A clip, and the letters that are spoken in it, wherever they are. */
export const ctc: DataTask<"CTC"> = {
  name: "CTC",
  accepts: [],
  tables: [],
  encode: (row) => `a row of kind "${row.kind}"`,
  collate: (samples, _inputs, options) => ({
    labels: padLabels(samples, { ...options, paddingSide: "right" }),
  }),
  preview: () => [],
};
