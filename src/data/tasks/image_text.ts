import { read, whole } from "../pieces.js";
import type { DataTask } from "./task.js";

/** Pictures with texts. No rows are read for it yet: batches bring the pixels as a column. */
export const imageText: DataTask<"IMAGE_TEXT"> = {
  name: "IMAGE_TEXT",
  accepts: [],
  tables: [],
  encode: (row) => `a row of kind "${row.kind}"`,
  collate: () => ({}),
  preview: ({ inputIds }, { tokenizer }) => [read(whole(inputIds, tokenizer))],
};
