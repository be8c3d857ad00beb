import type { BatchColumn, Ids } from "../batch.js";
import { ignoreIndex } from "../batch.js";
import { type CollateOptions, pad } from "../padding.js";
import type { CompletionSample, CompletionSequence } from "./encode.js";

/** A batch of completions, for a decoder or an encoder-decoder, with what its loss reads as columns. */
export interface CompletionBatch {
  readonly task: "CAUSAL_LM" | "SEQ_2_SEQ_LM";
  readonly inputIds: Ids;
  readonly attentionMask: Ids;
  readonly labels: Ids;
  /** Each row's sample: its place in the data set. */
  readonly rows: Int32Array;
  readonly columns: Readonly<Record<string, BatchColumn>>;
}

/** A row of a batch, and the sample that it is of. */
export interface CompletionRow {
  readonly sequence: CompletionSequence;
  readonly row: number;
}

/** How completions become a batch. */
export interface CompletionCollateOptions extends CollateOptions {
  /** Prompts of chosen rows are learnt too (ORPO's decoders). @default false */
  readonly learnsPrompts?: boolean;
}

/**
 * Rows padded to the longest. `completion` says which labels are a completion's, `completionLengths` how many
 * tokens it has.
 */
export function collateRows(
  rows: readonly CompletionRow[],
  options: CollateOptions,
  isPromptLearnt: (place: number) => boolean = () => false,
): CompletionBatch {
  const sequences = rows.map(({ sequence }) => sequence);
  const isEncoded = sequences.some(({ target }) => target !== undefined);
  const marks = sequences.map(({ ids, start, target }) =>
    target === undefined
      ? Int32Array.from(ids, (_, i) => Number(i >= start))
      : new Int32Array(target.length).fill(1),
  );
  const labels = sequences.map(({ ids, start, target }, place) =>
    Int32Array.from(target ?? ids, (id, i) =>
      target !== undefined || i >= start || isPromptLearnt(place) ? id : ignoreIndex,
    ),
  );
  const ofLabels = isEncoded ? { ...options, paddingSide: "right" as const } : options;
  const completion = pad(marks, 0, ofLabels);
  const lengths = marks.map((mark) => mark.reduce((a, b) => a + b, 0));
  return {
    task: isEncoded ? "SEQ_2_SEQ_LM" : "CAUSAL_LM",
    inputIds: pad(
      sequences.map(({ ids }) => Int32Array.from(ids)),
      options.padTokenId,
      options,
    ),
    attentionMask: pad(
      sequences.map(({ ids }) => new Int32Array(ids.length).fill(1)),
      0,
      options,
    ),
    labels: pad(labels, ignoreIndex, ofLabels),
    rows: Int32Array.from(rows, ({ row }) => row),
    columns: {
      completion: { data: Float32Array.from(completion.data), shape: completion.shape },
      completionLengths: { data: Float32Array.from(lengths), shape: [rows.length] },
    },
  };
}

/** Pairs: all chosen rows first, then the rejected ones; `pairs` says which belong together. */
export function collatePairs(
  samples: readonly CompletionSample[],
  options: CompletionCollateOptions,
): CompletionBatch {
  const side = (which: 0 | 1): CompletionRow[] =>
    samples.flatMap(({ row, sequences }) => {
      const sequence = sequences[which];
      return sequence === undefined ? [] : [{ row, sequence }];
    });
  const { learnsPrompts = false } = options;
  const batch = collateRows(
    [...side(0), ...side(1)],
    options,
    (place) => learnsPrompts && place < samples.length,
  );
  const pairs = Int32Array.from(
    { length: 2 * samples.length },
    (_, i) => (i >> 1) + (i % 2) * samples.length,
  );
  return { ...batch, columns: { ...batch.columns, pairs: { data: pairs, shape: [samples.length, 2] } } };
}

/** Judged rows: `desirable` says which. */
export function collateJudged(
  samples: readonly CompletionSample[],
  options: CollateOptions,
): CompletionBatch {
  const rows = samples.flatMap(({ row, sequences }) => sequences.map((sequence) => ({ row, sequence })));
  const batch = collateRows(rows, options);
  const desirable = Float32Array.from(samples, ({ isDesirable }) => Number(isDesirable));
  return { ...batch, columns: { ...batch.columns, desirable: { data: desirable, shape: [samples.length] } } };
}

/**
 * The same prompts, each with the completion of the row before; the first with the last one's. Of a decoder
 * the start of what is longer than `maxLength` stays.
 */
export function mismatched(
  samples: readonly CompletionSample[],
  maxLength: number,
): readonly CompletionRow[] {
  return samples.map(({ row, joint, sequences }, i) => {
    const before = samples.at(i - 1);
    const target = before?.sequences[0]?.target;
    const prompt = joint?.prompt ?? sequences[0]?.ids ?? [];
    const start = prompt.length;
    if (target !== undefined) return { row, sequence: { ids: prompt, start, target } };
    const ids = [...prompt, ...(before?.joint?.completions[0] ?? [])].slice(0, maxLength);
    return { row, sequence: { ids, start } };
  });
}
