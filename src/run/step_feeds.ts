import type { Feed, HostTensor } from "../engine/messages.js";
import type { Column } from "../graph/inputs.js";
import { filled } from "../graph/inputs.js";
import type { CacheShape } from "../graph/module.js";
import { textInputs } from "../models/text_inputs.js";
import { at } from "../present.js";
import type { Named } from "../trace/inputs.js";
import { cachedShape, cacheNames, feedInput } from "../trace/inputs.js";

/** Rows of scores, each so many times. */
export function repeatedRows(scores: Float32Array, width: number, times: number): Float32Array {
  if (times === 1) return scores;
  const out = new Float32Array(scores.length * times);
  for (let i = 0; i < out.length / width; i++) {
    const from = Math.floor(i / times) * width;
    out.set(scores.subarray(from, from + width), i * width);
  }
  return out;
}

/** Rows of a column by their numbers. */
export function rowsOf({ data, shape }: Column, numbers: readonly number[]): Column {
  const width = shape.slice(1).reduce((a, b) => a * b, 1);
  const out = new (data instanceof Float32Array ? Float32Array : Int32Array)(numbers.length * width);
  for (const [i, row] of numbers.entries()) out.set(data.subarray(row * width, (row + 1) * width), i * width);
  return { data: out, shape: [numbers.length, ...shape.slice(1)] };
}

/** Held caches as what a step reads. */
export function heldFeeds(
  cache: CacheShape,
  names: readonly string[],
  rows: number,
  length: number,
): Record<string, Feed> {
  const inputs = cacheNames("past", cache).flatMap(({ k, v }) => [k, v]);
  const feed = (i: number): Feed => ({ held: at(names, i), shape: cachedShape(cache, i, rows, length) });
  return Object.fromEntries(inputs.map((input, i) => [input, feed(i)]));
}

/** What a step leaves, under the names that it is held by. */
export function keptAs(cache: CacheShape, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(presentNames(cache).map((result, i) => [result, at(names, i)]));
}

export function presentNames(cache: CacheShape): string[] {
  return cacheNames("present", cache).flatMap(({ k, v }) => [k, v]);
}

export function crossNames(cache: CacheShape): string[] {
  return cacheNames("cross", cache).flatMap(({ k, v }) => [k, v]);
}

/** Token types of what is generated: all of the first. */
export function noTypes(rows: number, length: number): Record<string, HostTensor> {
  return feedColumn(textInputs.typeIds, filled([rows, length], 0));
}

export function feedColumn(input: Named, { data, shape }: Column): Record<string, HostTensor> {
  return feedInput(input, data, shape);
}
