import type { BatchColumn, Ids } from "../../../src/data/batch.js";
import type { TextBatch } from "../../../src/trace/feeds.js";
import type { Expected, KitTensor } from "../tensors.js";

/** A tensor of the kit as ids. */
export function ids(t: KitTensor | undefined): Ids {
  if (t === undefined) throw new Error("the kit lacks ids of a batch");
  return { data: Int32Array.from(t.data), shape: [t.shape[0] ?? 0, t.shape[1] ?? 1] };
}

/** Rows with a mask of what is learnt, under a prefix: "batch.", "batch.KL_". */
export function completionBatch(
  expected: Expected,
  prefix: string,
): TextBatch<"CAUSAL_LM"> & { readonly labels: Ids } {
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

/** The rows of one, and below them those of the other, padded to the longer. */
export function stacked(first: Ids, second: Ids, fill: number): Ids {
  const width = Math.max(first.shape[1], second.shape[1]);
  const rows = first.shape[0] + second.shape[0];
  const data = new Int32Array(rows * width).fill(fill);
  let row = 0;
  for (const { data: own, shape } of [first, second])
    for (let i = 0; i < shape[0]; i++, row++)
      data.set(own.subarray(i * shape[1], (i + 1) * shape[1]), row * width);
  return { data, shape: [rows, width] };
}

/** Options of which some are not said. */
export function known<T extends object>(options: { readonly [K in keyof T]: unknown }): T {
  const said = Object.entries(options).filter(([, value]) => value !== undefined && value !== null);
  return Object.fromEntries(said) as T;
}
