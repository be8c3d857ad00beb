import type { DataTask } from "./task.js";

/** Pictures with a label each. Rows of pictures are not read yet: batches bring pixels as columns. */
export const imageCls: DataTask<"IMAGE_CLS"> = {
  name: "IMAGE_CLS",
  accepts: [],
  tables: [],
  encode: (row) => `a row of kind "${row.kind}"`,
  collate: () => ({ labels: { data: new Int32Array(), shape: [0, 1] } }),
  preview: () => [],
};
