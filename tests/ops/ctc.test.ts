import { expect, test } from "vitest";
import { Graph } from "../../src/graph/graph.js";
import { ctcOf } from "../../src/losses/ctc.js";
import { value } from "./arrays.js";
import { evaluate } from "./evaluate.js";

const FRAMES = 4;
const CLASSES = 3;
const BLANK = 1;
/** Scores of one row, frame by frame. */
const scores = [0.3, -1, 0.7, 1.2, 0.1, -0.4, 0, 0.5, -2, 0.9, 0.2, 0.6];

/** What frames say: equal neighbours once, blanks left out. */
function collapsed(frames: readonly number[]): number[] {
  return frames.filter((x, i) => x !== frames[i - 1]).filter((x) => x !== BLANK);
}

/** -log of the chance that some way of saying it is said, one way after another. */
function byDefinition(letters: readonly number[], frames: number): number {
  let sum = 0;
  for (let code = 0; code < CLASSES ** frames; code++) {
    const said = Array.from({ length: frames }, (_, t) => Math.floor(code / CLASSES ** t) % CLASSES);
    if (`${collapsed(said)}` !== `${letters}`) continue;
    sum += said.reduce((chance, x, t) => {
      const row = scores.slice(t * CLASSES, (t + 1) * CLASSES).map(Math.exp);
      return (chance * row[x]!) / row.reduce((a, b) => a + b, 0);
    }, 1);
  }
  return -Math.log(sum);
}

function byGraph(labels: readonly number[], frames: number): number {
  const g = new Graph();
  const logits = g.input("logits", [1, FRAMES, CLASSES]);
  const letters = g.input("labels", [1, labels.length], "i64");
  const mask = g.input("mask", [1, FRAMES], "i64");
  const [loss] = evaluate(g, [ctcOf(g, logits, letters, mask, BLANK)], {
    logits: value(scores, [1, FRAMES, CLASSES]),
    labels: value(labels, [1, labels.length]),
    mask: value(
      Array.from({ length: FRAMES }, (_, t) => (t < frames ? 1 : 0)),
      [1, FRAMES],
    ),
  });
  return loss!.data[0]!;
}

test.each([
  ["one letter", [2], [2], 4],
  ["equal ones, with a blank between them", [2, 2], [2, 2], 4],
  ["padding is nothing, wherever it stands", [-100, 2, -100, 0], [2, 0], 4],
  ["frames beyond a row's length are not heard", [0, 2], [0, 2], 3],
  ["no letters: blanks alone", [-100], [], 4],
])("%s", (_, labels, letters, frames) => {
  expect(byGraph(labels, frames)).toBeCloseTo(byDefinition(letters, frames), 12);
});

test("letters that do not fit into the frames are infinitely unlikely", () => {
  expect(byGraph([2, 2], 2)).toBe(Number.POSITIVE_INFINITY);
  expect(byGraph([2, 0], 2)).toBeCloseTo(byDefinition([2, 0], 2), 12);
});
