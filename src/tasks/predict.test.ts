import { expect, it } from "vitest";
import { predictEntities } from "./predict_entities.js";
import { predictLabels } from "./predict_labels.js";
import { predictSpans, predictSpansOf } from "./predict_spans.js";
import { predictVector } from "./predict_vector.js";
import type { Said, TextToken } from "./prediction.js";
import { tasks } from "./registry.js";

const names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"];
const said = (logits: number[], outputs: number, more: Partial<Said> = {}): Said => ({
  logits: Float32Array.from(logits),
  outputs,
  config: { numLabels: outputs },
  nameOf: (id) => names[id] ?? String(id),
  text: "",
  tokens: [],
  ...more,
});

it("labels: softmax, the best first; several labels and one by themselves; numbers stay", () => {
  const labels = predictLabels(said([0, Math.log(3)], 2));
  expect(labels).toEqual({
    kind: "labels",
    labels: [
      { label: "B-PER", score: expect.closeTo(0.75, 6) },
      { label: "O", score: expect.closeTo(0.25, 6) },
    ],
  });
  const scoresOf = (config: Said["config"], options = {}): number[] => {
    const found = predictLabels(said([0, Math.log(3)], 2, { config }), options);
    return found.kind === "labels" ? found.labels.map(({ score }) => score) : [];
  };
  const many = scoresOf({ numLabels: 2, problemType: "multi_label_classification" });
  expect(many).toEqual([expect.closeTo(0.75, 6), expect.closeTo(0.5, 6)]);
  expect(scoresOf({ numLabels: 2, problemType: "regression" })[0]).toBeCloseTo(Math.log(3), 6);
  expect(scoresOf({ numLabels: 1 })[1]).toBeCloseTo(0.5, 6);
  expect(scoresOf({ numLabels: 2 }, { topK: 1 })).toHaveLength(1);
});

/** [CLS] Ann Lee|son in Rome [SEP] */
const text = "Ann Leeson in Rome";
const token = (start: number, end: number, isSubword = false): TextToken => ({
  start,
  end,
  isSpecial: end === 0,
  isSubword,
});
const tokens = [
  token(0, 0),
  token(0, 3),
  token(4, 7),
  token(7, 10, true),
  token(11, 13),
  token(14, 18),
  token(0, 0),
];
/** Logits whose softmax has p at a label, and the rest at another. */
const at = (label: number, p: number, other = 0): number[] =>
  names.map((_, i) => (i === label ? Math.log(p) : i === other ? Math.log(1 - p) : -50));
const tagged = said(
  [at(1, 0.9), at(1, 0.8), at(2, 0.9), at(4, 0.6, 2), at(0, 0.9, 1), at(3, 0.95), at(3, 0.9)].flat(),
  5,
  { text, tokens },
);

it.each([
  [
    "none",
    [
      ["Ann", "B-PER", 0.8],
      ["Lee", "I-PER", 0.9],
      ["son", "I-LOC", 0.6],
      ["Rome", "B-LOC", 0.95],
    ],
  ],
  [
    "simple",
    [
      ["Ann Lee", "PER", 0.85],
      ["son", "LOC", 0.6],
      ["Rome", "LOC", 0.95],
    ],
  ],
  [
    "first",
    [
      ["Ann Leeson", "PER", 0.85],
      ["Rome", "LOC", 0.95],
    ],
  ],
  [
    "average",
    [
      ["Ann Leeson", "PER", 0.725],
      ["Rome", "LOC", 0.95],
    ],
  ],
  [
    "max",
    [
      ["Ann Leeson", "PER", 0.85],
      ["Rome", "LOC", 0.95],
    ],
  ],
] as const)("entities, aggregation %s", (aggregation, expected) => {
  const found = predictEntities(tagged, { aggregation });
  if (found.kind !== "entities") throw new Error(found.kind);
  expect(found.entities.map((e) => [e.text, e.label])).toEqual(
    expected.map(([part, label]) => [part, label]),
  );
  found.entities.forEach((e, i) => {
    expect(e.score).toBeCloseTo(expected[i]![2], 5);
    expect(text.slice(e.start, e.end)).toBe(e.text);
  });
});

it("a B- begins a new entity beside one of its tag; other labels to ignore can be named", () => {
  const pair = said([at(3, 0.9), at(3, 0.9)].flat(), 5, { text: "A B", tokens: [token(0, 1), token(2, 3)] });
  expect(predictEntities(pair)).toMatchObject({ entities: [{ text: "A" }, { text: "B" }] });
  expect(predictEntities(pair, { ignoreLabels: ["LOC"] })).toEqual({ kind: "entities", entities: [] });
});

it("spans: the best pair of the context, no longer than allowed, or none", () => {
  const inContext = tokens.map((t, i) => ({ ...t, isContext: i > 1, isClass: i === 0 }));
  const logits = [4, 4, 9, 9, 3, 0, 0, 1, 0, 0, 1, 3, 0, 0];
  const about = said(logits, 2, { text, tokens: inContext });
  const best = predictSpans(about);
  expect(best).toMatchObject({ answers: [{ answer: "Leeson in Rome", start: 4, end: 18 }] });
  const power = (xs: number[]): number => xs.reduce((n, x) => n + Math.exp(x), 0);
  const score = (Math.exp(3) / power([4, 3, 0, 0, 1])) * (Math.exp(3) / power([4, 0, 1, 0, 3]));
  expect(best.kind === "spans" && best.answers[0]?.score).toBeCloseTo(score, 5);
  expect(predictSpans(about, { maxAnswerTokens: 2 })).toMatchObject({ answers: [{ answer: "Leeson" }] });
  expect(predictSpans(about, { noAnswer: true })).toMatchObject({
    answers: [{ answer: "", start: 0, end: 0 }],
  });
  expect(predictSpans(about, { topK: 3 })).toMatchObject({ answers: { length: 3 } });
  const twice = predictSpansOf([about, about]); // the same text in two windows is one answer
  expect(twice.kind === "spans" && twice.answers[0]?.score).toBeCloseTo(2 * score, 5);
});

it("vectors: mean, first and last token, normalized", () => {
  const vectorOf = (options: Parameters<typeof predictVector>[1]): number[] => {
    const found = predictVector(said([3, 0, 1, 4, 2, 8], 2), options);
    return found.kind === "vector" ? [...found.vector] : [];
  };
  expect(vectorOf({})).toEqual([2, 4]);
  expect(vectorOf({ pooling: "cls" })).toEqual([3, 0]);
  expect(vectorOf({ pooling: "last" })).toEqual([2, 8]);
  const [x, y] = vectorOf({ normalize: true });
  expect(x).toBeCloseTo(2 / Math.sqrt(20), 6);
  expect(y).toBeCloseTo(4 / Math.sqrt(20), 6);
});

it("each task says how its scores become a prediction, or answers in text", () => {
  for (const { predict, generates } of tasks.all) expect(predict === undefined).toBe(generates);
});
