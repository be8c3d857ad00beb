import type { BatchColumn, Ids } from "../../../src/data/batch.js";
import type { TextBatch } from "../../../src/trace/feeds.js";
import type { Expected, KitTensor } from "../tensors.js";

/** A tensor of the kit as ids. */
export function ids(t: KitTensor | undefined): Ids {
  if (t === undefined) throw new Error("the kit lacks ids of a batch");
  return { data: Int32Array.from(t.data), shape: [t.shape[0] ?? 0, t.shape[1] ?? 1] };
}

/** Rows with a mask of what is learnt, under a prefix: "batch.", "batch.KL_". */
export function completionBatch(expected: Expected, prefix: string): TextBatch<"CAUSAL_LM"> {
  const inputIds = ids(expected.get(`${prefix}input_ids`));
  const learnt = ids(expected.get(`${prefix}completion_mask`)).data;
  return {
    task: "CAUSAL_LM",
    inputIds,
    attentionMask: ids(expected.get(`${prefix}attention_mask`)),
    labels: { data: inputIds.data.map((id, i) => (learnt[i] === 1 ? id : -100)), shape: inputIds.shape },
  };
}

/** Lengths of completions, also of a first token that nothing stands before: [rows] */
export function lengthsOf({ labels }: TextBatch<"CAUSAL_LM">): Int32Array {
  const {
    data,
    shape: [rows, width],
  } = labels ?? { data: [], shape: [0, 0] };
  return Int32Array.from(
    { length: rows },
    (_, row) => [...data.slice(row * width, (row + 1) * width)].filter((label) => label >= 0).length,
  );
}

export function floats(values: Iterable<number>, shape?: readonly number[]): BatchColumn {
  const data = Float32Array.from(values);
  return { data, shape: shape ?? [data.length] };
}

/** Chosen rows first, then rejected ones. */
export function pairsOf(rows: number): BatchColumn {
  const pairs = rows / 2;
  return { data: Int32Array.from({ length: rows }, (_, i) => (i >> 1) + (i % 2) * pairs), shape: [pairs, 2] };
}
