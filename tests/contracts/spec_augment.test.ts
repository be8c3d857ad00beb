import { expect, it } from "vitest";
import { Module } from "../../src/graph/module.js";
import { hiddenPlaces, type Spans } from "../../src/models/parts/spans.js";
import { ModelTrace } from "../../src/trace/trace.js";
import { value } from "../ops/arrays.js";
import { evaluate } from "../ops/evaluate.js";

const OPTIONS = { adapters: [], mixed: false, virtual: false, packed: false, long: false, neftune: 0 };

/** Which places of rows of these lengths are hidden, row by row, of rows that are padded to `width`. */
function hidden(
  spans: Spans,
  lengths: readonly number[],
  width: number,
  keys: readonly number[],
): number[][] {
  const trace = new ModelTrace({ ...OPTIONS, training: true });
  const mask = trace.g.input("mask", ["batch", "places"], "i64");
  const places = hiddenPlaces(new Module(trace, "wav2vec2"), "mask_time", mask, spans);
  const marks = lengths.flatMap((n) => Array.from({ length: width }, (_, i) => (i < n ? 1 : 0)));
  const [got] = evaluate(trace.g, [places!], {
    mask: value(marks, [lengths.length, width]),
    randomKey: value(keys, [lengths.length]),
  });
  return lengths.map((_, row) => [...got!.data.slice(row * width, (row + 1) * width)]);
}

const keys = Array.from({ length: 64 }, (_, i) => Math.imul(i + 1, 0x9e3779b1) | 0);

it("hides as many frames as the share says, in spans, and none beyond a row's length", () => {
  const spans = { share: 0.2, length: 5, least: 0 };
  const rows = hidden(
    spans,
    keys.map(() => 100),
    120,
    keys,
  );
  const counts = rows.map((row) => row.reduce((a, b) => a + b, 0));
  for (const row of rows) expect(row.slice(100).every((x) => x === 0)).toBe(true);
  // 100 * 0.2 / 5 = 4 spans of 5, whatever the rounding; they may overlap
  expect(Math.max(...counts)).toBe(20);
  expect(Math.min(...counts)).toBeGreaterThanOrEqual(5);
  expect(counts.reduce((a, b) => a + b, 0) / counts.length).toBeGreaterThan(15);
  for (const row of rows)
    for (const run of row.join("").split("0")) if (run !== "") expect(run.length >= 5).toBe(true);
  expect(new Set(rows.map((row) => `${row}`)).size).toBe(keys.length);
});

it("rounds by chance: half a span is one in half of the rows", () => {
  const rows = hidden(
    { share: 0.1, length: 10, least: 0 },
    keys.map(() => 50),
    50,
    keys,
  );
  const some = rows.filter((row) => row.includes(1)).length;
  expect(some).toBeGreaterThan(20);
  expect(some).toBeLessThan(44);
});

it("is the same however rows are padded, and at least so many spans where they fit", () => {
  const spans = { share: 0.05, length: 4, least: 2 };
  const [alone] = hidden(spans, [17], 17, [7]);
  const [short, , again] = hidden(spans, [3, 40, 17], 40, [5, 6, 7]);
  expect(again!.slice(0, 17)).toEqual(alone);
  expect(alone!.reduce((a, b) => a + b, 0)).toBeGreaterThanOrEqual(5);
  expect(short!.every((x) => x === 0)).toBe(true);
});

it("hides nothing in evaluation", () => {
  const trace = new ModelTrace({ ...OPTIONS, training: false });
  const mask = trace.g.input("mask", ["batch", "places"], "i64");
  const spans = { share: 0.5, length: 2, least: 2 };
  expect(hiddenPlaces(new Module(trace, "w"), "mask_time", mask, spans)).toBeUndefined();
});
