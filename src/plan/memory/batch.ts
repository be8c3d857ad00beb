import type { Floats, Ids } from "../../data/batch.js";
import { taskOf } from "../../tasks/registry.js";
import type { Inputs } from "../../trace/feeds.js";
import { filled } from "../../trace/feeds.js";
import type { ModelSpec } from "../../trace/write.js";

/** Sizes of a batch: rows, tokens of each, and where tokens have labels, how many of a row. */
export interface BatchSizes {
  readonly batch: number;
  readonly seq: number;
  /** Tokens of all rows, padding apart; default: every row is as long as the longest. */
  readonly tokens?: number;
  /** Target tokens of an encoder-decoder's row; default: seq. */
  readonly target?: number;
  /** Labelled tokens of a row; default: all. */
  readonly labels?: number;
}

/** A batch of these sizes: the most that one can take. */
export function fakeBatch({ task, config }: ModelSpec, sizes: BatchSizes): Inputs {
  const { batch, seq, target = seq } = sizes;
  const common = { inputIds: filled(batch, seq, 1), attentionMask: maskOf(sizes) };
  switch (taskOf(task).labels) {
    case "token":
    case "next token":
      return { task, ...common, labels: lastOnes(batch, seq, sizes.labels ?? seq) } as Inputs;
    case "target":
      return { task, ...common, labels: filled(batch, target, 1) } as Inputs;
    case "row":
      return { task, ...common, labels: classes({ task, config }, batch) } as Inputs;
    case "span": {
      const places = filled(batch, 1, 0);
      return { task, ...common, startPositions: places, endPositions: places } as Inputs;
    }
    case "none":
      return { task, ...common } as Inputs;
  }
}

/** The first row as long as can be, the others alike, padded on the left. */
function maskOf({ batch, seq, tokens = batch * seq }: BatchSizes): Ids {
  const mask = filled(batch, seq, 1);
  const others = Math.ceil((tokens - seq) / Math.max(1, batch - 1));
  for (let row = 1; row < batch; row++) mask.data.fill(0, row * seq, (row + 1) * seq - others);
  return mask;
}

function lastOnes(rows: number, columns: number, labelled: number): Ids {
  const ids = filled(rows, columns, 0);
  for (let i = 0; i < ids.data.length; i++) if (i % columns < columns - labelled) ids.data[i] = -100;
  return ids;
}

function classes({ config, task }: Pick<ModelSpec, "task" | "config">, rows: number): Ids | Floats {
  if (taskOf(task).labelForm(config) !== "floats") return filled(rows, 1, 0);
  const columns = taskOf(task).head.outputs(config);
  return { data: new Float32Array(rows * columns), shape: [rows, columns] };
}
