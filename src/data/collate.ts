import { type NamesOf, refuseUnknown } from "../arguments.js";
import { PeftError } from "../errors.js";
import { type Batch, type BatchInputs, type Floats, type Ids, ignoreIndex, type TaskType } from "./batch.js";
import type { Sample, SampleInputs } from "./sample.js";

export interface CollateOptions {
  padTokenId: number;
  /** Where padding goes. Targets of encoder-decoders are padded at their end whatever this says. */
  paddingSide?: "left" | "right" | undefined;
  /** Widths are rounded up to a multiple of this. */
  padToMultipleOf?: number | undefined;
}

export const collateNames: NamesOf<CollateOptions> = {
  padTokenId: {},
  paddingSide: {},
  padToMultipleOf: {},
};

/** Samples of one task, padded to the longest, as a batch. The mask comes from lengths: a padding token may also be a word. */
export function collate<T extends TaskType>(
  samples: readonly Sample<T>[],
  options: CollateOptions,
): Batch<T> {
  refuseUnknown("collate", options, collateNames);
  const task = samples[0]?.task;
  if (task === undefined) {
    throw new PeftError("batch", {
      what: "A batch of no samples.",
      why: "there is nothing to compute.",
      fix: "give at least one sample.",
    });
  }
  const build: (samples: readonly Sample<T>[], options: CollateOptions) => Batch<T> = collators[task as T];
  return build(samples, options);
}

const collators: {
  readonly [T in TaskType]: (samples: readonly Sample<T>[], options: CollateOptions) => Batch<T>;
} = {
  CAUSAL_LM: (samples, options) => ({
    task: "CAUSAL_LM",
    ...inputsOf(samples, options),
    labels: pad(
      samples.map((sample) => sample.labels),
      ignoreIndex,
      options,
    ),
  }),
  SEQ_2_SEQ_LM: (samples, options) => ({
    task: "SEQ_2_SEQ_LM",
    ...inputsOf(samples, options),
    labels: pad(
      samples.map((sample) => sample.labels),
      ignoreIndex,
      { ...options, paddingSide: "right" },
    ),
  }),
  SEQ_CLS: (samples, options) => {
    const problemType = samples[0]!.problemType;
    const base = { task: "SEQ_CLS" as const, ...inputsOf(samples, options) };
    const labels = samples.map((sample) => sample.labels);
    if (problemType !== "single_label_classification") return { ...base, problemType, labels: stack(labels) };
    return { ...base, problemType, labels: column(labels.map((label) => label[0]!)) };
  },
  TOKEN_CLS: (samples, options) => ({
    task: "TOKEN_CLS",
    ...inputsOf(samples, options),
    labels: pad(
      samples.map((sample) => sample.labels),
      ignoreIndex,
      options,
    ),
  }),
  QUESTION_ANS: (samples, options) => {
    const inputs = inputsOf(samples, options);
    const shift = (row: number): number =>
      options.paddingSide === "left" ? inputs.inputIds.shape[1] - inputs.lengths[row]! : 0;
    return {
      task: "QUESTION_ANS",
      ...inputs,
      startPositions: column(samples.map((sample, row) => sample.start + shift(row))),
      endPositions: column(samples.map((sample, row) => sample.end + shift(row))),
    };
  },
  FEATURE_EXTRACTION: (samples, options) => ({ task: "FEATURE_EXTRACTION", ...inputsOf(samples, options) }),
};

function inputsOf(samples: readonly SampleInputs[], options: CollateOptions): BatchInputs {
  const ids = samples.map((sample) => sample.inputIds);
  const types = samples.flatMap((sample) => sample.tokenTypeIds ?? []);
  const inputs = {
    inputIds: pad(ids, options.padTokenId, options),
    attentionMask: pad(
      ids.map((row) => new Int32Array(row.length).fill(1)),
      0,
      options,
    ),
    lengths: Int32Array.from(ids, (row) => row.length),
    rows: Int32Array.from(samples, (sample) => sample.row),
  };
  const columns = columnsOf(samples);
  return {
    ...inputs,
    ...(types.length === samples.length ? { tokenTypeIds: pad(types, 0, options) } : {}),
    ...(columns === undefined ? {} : { columns }),
  };
}

/** Numbers for a custom loss by name, [rows] or [rows, n]: names that every row has, with one length. Throws "batch". */
function columnsOf(samples: readonly SampleInputs[]): BatchInputs["columns"] {
  const names = Object.keys(samples[0]?.columns ?? {});
  if (names.length === 0) return undefined;
  return Object.fromEntries(
    names.map((name) => {
      const values = samples.map((sample) => sample.columns?.[name]);
      const lists = values.map((value) => (typeof value === "number" ? [value] : (value ?? [])));
      const width = lists[0]?.length ?? 0;
      const odd = lists.findIndex((list) => list.length !== width || width === 0);
      if (odd >= 0) throw oddColumn(name, samples[odd]?.at ?? "", values[odd], width);
      const shape = typeof values[0] === "number" ? [lists.length] : [lists.length, width];
      return [name, { data: Float32Array.from(lists.flat()), shape }];
    }),
  );
}

function oddColumn(name: string, at: string, value: unknown, width: number): PeftError {
  return new PeftError("batch", {
    what: `${at} has ${value === undefined ? "no" : "another number of"} ${name} for the loss.`,
    why: `the rows beside it have ${width === 1 ? "a number" : `${width} numbers`} under that name.`,
    fix: "give every row as many.",
  });
}

/** Rows of different length -> [rows, width], filled up with `value`. */
function pad(
  rows: readonly Int32Array[],
  value: number,
  { paddingSide = "right", padToMultipleOf = 1 }: CollateOptions,
): Ids {
  const longest = rows.reduce((most, row) => Math.max(most, row.length), 0);
  const width = Math.ceil(longest / padToMultipleOf) * padToMultipleOf;
  const data = new Int32Array(rows.length * width).fill(value);
  for (const [i, row] of rows.entries()) {
    data.set(row, i * width + (paddingSide === "left" ? width - row.length : 0));
  }
  return { data, shape: [rows.length, width] };
}

function column(values: readonly number[]): Ids {
  return { data: Int32Array.from(values), shape: [values.length, 1] };
}

function stack(rows: readonly Float32Array[]): Floats {
  const width = rows[0]!.length;
  const data = new Float32Array(rows.length * width);
  for (const [i, row] of rows.entries()) data.set(row, i * width);
  return { data, shape: [rows.length, width] };
}
