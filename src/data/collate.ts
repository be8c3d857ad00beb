import { refuseUnknown } from "../arguments.js";
import { PeftError } from "../errors.js";
import type { Batch, BatchColumn, BatchInputs, Ids, TaskType } from "./batch.js";
import { type CollateOptions, collateNames, pad } from "./padding.js";
import { type Sample, type SampleInputs, sequencesOf } from "./sample.js";
import { dataTaskOf } from "./tasks/registry.js";

/**
 * Samples of one task, padded to the longest, as a batch. The mask comes from lengths: a padding token may
 * also be a word.
 */
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
  const inputs = collateInputs(samples, options);
  const labels = dataTaskOf<TaskType>(task).collate(samples, inputs, options);
  return { task, ...inputs, ...labels } as unknown as Batch<T>;
}

/** Samples without their labels, padded to the longest. */
export function collateInputs(samples: readonly SampleInputs[], options: CollateOptions): BatchInputs {
  const texts = samples.flatMap((sample) => sequencesOf(sample));
  const ids = texts.map(({ inputIds }) => inputIds);
  const types = texts.flatMap(({ tokenTypeIds }) => tokenTypeIds ?? []);
  const inputs = {
    inputIds: pad(ids, options.padTokenId, options),
    attentionMask: pad(
      ids.map((row, i) => samples[i]?.documents ?? new Int32Array(row.length).fill(1)),
      0,
      options,
    ),
    ...(samples.some(({ documents }) => documents !== undefined)
      ? { positionIds: positionsOf(samples, options) }
      : {}),
    lengths: Int32Array.from(ids, (row) => row.length),
    rows: Int32Array.from(samples.flatMap((sample) => sequencesOf(sample).map(() => sample.row))),
  };
  const boxes = boxesOf(samples, inputs.inputIds.shape[1], options);
  const own = columnsOf(samples);
  const columns = boxes === undefined ? own : { ...own, bbox: boxes };
  return {
    ...inputs,
    ...(types.length === texts.length ? { tokenTypeIds: pad(types, 0, options) } : {}),
    ...(columns === undefined ? {} : { columns }),
  };
}

/** Boxes beside tokens, [rows, width, 4], where all samples have a page. */
function boxesOf(
  samples: readonly SampleInputs[],
  width: number,
  { paddingSide }: CollateOptions,
): BatchColumn | undefined {
  const own = samples.flatMap(({ boxes }) => boxes ?? []);
  if (own.length < samples.length || own.length === 0) return undefined;
  const data = new Int32Array(own.length * width * 4);
  for (const [row, boxes] of own.entries()) {
    const start = row * width * 4;
    for (let i = 0; i < width * 4; i += 4) data.set(boxes.padding, start + i);
    data.set(boxes.data, start + (paddingSide === "left" ? width * 4 - boxes.data.length : 0));
  }
  return { data, shape: [own.length, width, 4] };
}

/** Positions of packed documents: each begins at 0. */
function positionsOf(samples: readonly SampleInputs[], options: CollateOptions): Ids {
  const rows = samples.map(({ inputIds, documents }) => {
    let first = 0;
    return inputIds.map((_, i) => {
      if (documents !== undefined && documents[i] !== documents[i - 1]) first = i;
      return i - first;
    });
  });
  return pad(rows, 0, options);
}

/**
 * Numbers for a custom loss by name, [rows] or [rows, n]: names that every row has, with one length. Throws
 * "batch".
 */
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
