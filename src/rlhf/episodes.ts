import type { BatchColumn } from "../data/batch.js";
import { at } from "../present.js";
import type { TextBatch } from "../trace/feeds.js";
import type { Advantages, Table } from "./advantages.js";

/** In place of a token that is none: padding within a response. */
export const NO_TOKEN = -1;

/** A prompt and what was answered, as token ids. */
export interface Episode {
  readonly prompt: readonly number[];
  /** As it was sampled, end token and what followed it included. */
  readonly response: readonly number[];
}

/** The response up to its first end token, where it has one. */
export function cutResponse({ response }: Episode, ends: readonly number[]): readonly number[] {
  const end = response.findIndex((id) => ends.includes(id));
  return end < 0 ? response : response.slice(0, end + 1);
}

/** The place of the last token of a response that was cut: what stands behind a gap does not count. */
export function lastTokenOf(cut: readonly number[]): number {
  const gap = cut.indexOf(NO_TOKEN);
  return (gap < 0 ? cut.length : gap) - 1;
}

/** Where episodes lie in a batch: prompts end at one place, where all responses begin. */
export interface Frame {
  /** Tokens of the longest prompt. */
  readonly start: number;
  /** Places of the longest response. */
  readonly length: number;
}

export function frameOf(episodes: readonly Episode[]): Frame {
  const longest = (lists: readonly (readonly number[])[]): number =>
    lists.reduce((most, { length }) => Math.max(most, length), 0);
  return {
    start: longest(episodes.map(({ prompt }) => prompt)),
    length: longest(episodes.map(({ response }) => response)),
  };
}

/** Prompts and responses side by side; positions count tokens alone. */
export function rowsOfEpisodes(
  episodes: readonly Episode[],
  { start, length }: Frame,
): TextBatch<"CAUSAL_LM"> {
  const width = start + length;
  const shape = [episodes.length, width] as const;
  const ids = new Int32Array(episodes.length * width).fill(NO_TOKEN);
  const labels = new Int32Array(ids.length).fill(-100);
  for (const [row, { prompt, response }] of episodes.entries()) {
    ids.set(prompt, row * width + start - prompt.length);
    ids.set(response, row * width + start);
    for (const [t, id] of response.entries()) labels[row * width + start + t] = Math.max(id, 0);
  }
  const mask = ids.map((id) => (id === NO_TOKEN ? 0 : 1));
  return {
    task: "CAUSAL_LM",
    inputIds: { data: ids.map((id) => Math.max(id, 0)), shape },
    attentionMask: { data: mask, shape },
    positionIds: { data: positionsOf(mask, width), shape },
    labels: { data: labels, shape },
  };
}

/** How many tokens stand before a place. */
function positionsOf(mask: Int32Array, width: number): Int32Array {
  let count = 0;
  return mask.map((one, i) => {
    if (i % width === 0) count = 0;
    count += one;
    return count - one;
  });
}

/** The same rows for a critic or a judge. */
export function rankedRows({
  labels: _,
  columns: __,
  ...rows
}: TextBatch<"CAUSAL_LM">): TextBatch<"SEQ_CLS"> {
  return { ...rows, task: "SEQ_CLS" };
}

/** Numbers of all places, [rows, width], of places of responses; `shift`: how far before them they stand. */
export function spread(table: Table, { start, length }: Frame, shift = 0): BatchColumn {
  const width = start + length;
  const data = new Float32Array(table.length * width);
  for (const [row, own] of table.entries()) data.set(own, row * width + start - shift);
  return { data, shape: [table.length, width] };
}

/** The places of responses, of numbers of all places; `shift` as above. */
export function gathered(
  { data }: Pick<BatchColumn, "data">,
  rows: number,
  { start, length }: Frame,
  shift = 0,
): Float32Array[] {
  const width = start + length;
  return Array.from({ length: rows }, (_, row) => {
    const first = row * width + start - shift;
    return Float32Array.from(data.subarray(first, first + length));
  });
}

/** What PPO learns from: episodes with what came of them. */
export interface Experience {
  readonly episodes: readonly Episode[];
  readonly frame: Frame;
  readonly lastTokens: readonly number[];
  readonly logProbs: Table;
  readonly learnt: Advantages;
}

/** One batch for both halves of PPO's loss, of some rows of what was experienced. */
export function ppoBatch(x: Experience, rows: readonly number[]): TextBatch<"CAUSAL_LM"> {
  const of = <V>(values: readonly V[]): V[] => rows.map((row) => at(values, row));
  const places = (last: (row: number) => number): Table =>
    rows.map((row) => Float32Array.from({ length: x.frame.length }, (_, t) => (t <= last(row) ? 1 : 0)));
  const lastOf = (row: number): number => at(x.lastTokens, row);
  const { advantages, values, returns } = x.learnt;
  return {
    ...rowsOfEpisodes(of(x.episodes), x.frame),
    columns: {
      isToken: spread(places(lastOf), x.frame),
      oldLogProbs: spread(of(x.logProbs), x.frame),
      advantages: spread(of(advantages), x.frame),
      // the value before a token is said at the place before it
      isState: spread(
        places((row) => lastOf(row) + 1),
        x.frame,
        1,
      ),
      oldValues: spread(of(values), x.frame, 1),
      returns: spread(of(returns), x.frame, 1),
    },
  };
}
