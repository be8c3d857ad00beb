import type { Column, Input, ReadColumn } from "../graph/inputs.js";
import { rowInput } from "../graph/inputs.js";

/** Which of so many tasks each row of a batch is of, [batch]. Python calls it task_ids. */
export function taskIds(tasks: number): Input {
  return rowInput("taskIds", "i64", [], {
    read: (column: ReadColumn): Column | undefined =>
      column("taskIds") ?? column("task_ids") ?? column("task_id"),
    means: `which of the ${tasks} tasks each row is of`,
    below: tasks,
  });
}
