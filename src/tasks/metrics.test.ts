import { describe, expect, it } from "vitest";
import {
  accuracy,
  exactMatch,
  f1,
  matthewsCorrelation,
  meanSquaredError,
  normalizeAnswer,
  pearson,
  perplexity,
  spearman,
  tokenF1,
} from "./metrics.js";

const labels = [0, 0, 1, 1, 1, 2];
const predictions = [0, 0, 0, 1, 2, 2];

describe("classes", () => {
  it("accuracy", () => {
    expect(accuracy(predictions, labels)).toBe(4 / 6);
    expect(accuracy(["no complaint"], ["complaint"])).toBe(0);
  });

  it("f1 in its four averages", () => {
    // class F1: 0: 2*2/(3+2) = 0.8, 1: 2*1/(1+3) = 0.5, 2: 2*1/(2+1) = 2/3
    expect(f1(predictions, labels)).toBe(0.5);
    expect(f1(predictions, labels, { positive: 0 })).toBe(0.8);
    expect(f1(predictions, labels, { average: "micro" })).toBe(4 / 6);
    expect(f1(predictions, labels, { average: "macro" })).toBeCloseTo((0.8 + 0.5 + 2 / 3) / 3, 12);
    expect(f1(predictions, labels, { average: "weighted" })).toBeCloseTo((2 * 0.8 + 3 * 0.5 + 2 / 3) / 6, 12);
    expect(f1([0, 0], [0, 0])).toBe(0);
    expect(f1(["yes", "no"], ["yes", "yes"], { positive: "yes" })).toBeCloseTo(2 / 3, 12);
  });

  it("Matthews' correlation, binary and of many classes", () => {
    // tp 3, tn 1, fp 1, fn 1: (3*1 - 1*1) / sqrt(4*4*2*2)
    expect(matthewsCorrelation([1, 1, 1, 0, 1, 0], [1, 1, 1, 0, 0, 1])).toBeCloseTo(2 / 8, 12);
    // hits 4, predicted 3 1 2, actual 2 3 1: (24 - 11) / sqrt((36 - 14) (36 - 14))
    expect(matthewsCorrelation(predictions, labels)).toBeCloseTo(13 / 22, 12);
    expect(matthewsCorrelation([1, 1], [0, 1])).toBe(0);
  });
});

describe("texts", () => {
  it("normalizes as SQuAD", () => {
    expect(normalizeAnswer("The  U.S., an\tArea; a-b")).toBe("us area ab");
    expect(normalizeAnswer("theatre")).toBe("theatre");
  });

  it("exact match", () => {
    const texts = ["The cat.", "dog"];
    expect(exactMatch(texts, ["cat", "dog"])).toBe(0.5);
    expect(exactMatch(texts, ["cat", ["wolf", "a dog"]], { normalize: true })).toBe(1);
  });

  it("token F1 takes the best reference and counts a repeated word once per occurrence", () => {
    expect(tokenF1(["the quick brown fox"], [["fox", "brown fox jumps high"]])).toBeCloseTo((2 * 2) / 7, 12);
    expect(tokenF1(["fox fox"], ["fox"])).toBeCloseTo(2 / 3, 12);
    expect(tokenF1(["The", "x", ""], ["a", "", "y"])).toBeCloseTo(1 / 3, 12);
    expect(tokenF1(["Fox"], ["fox"], { normalize: false })).toBe(0);
  });
});

describe("numbers", () => {
  it("Pearson, Spearman, mean squared error, perplexity", () => {
    // dx -1.5 -0.5 0.5 1.5, dy -2 0 -1 3: (3 - 0.5 + 4.5) / sqrt(5 * 14)
    expect(pearson([1, 2, 3, 4], [1, 3, 2, 6])).toBeCloseTo(7 / Math.sqrt(70), 12);
    // ranks 1 2.5 2.5 4 and 1 3 2 4: 4.5 / sqrt(4.5 * 5)
    expect(spearman([1, 2, 2, 9], [-4, 8, 0, 100])).toBeCloseTo(4.5 / Math.sqrt(22.5), 12);
    expect(spearman([1, 10, 100], [3, 2, 1])).toBeCloseTo(-1, 12);
    expect(pearson([1, 1], [1, 2])).toBeNaN();
    expect(meanSquaredError([1, 2], [3, 2.5])).toBe(2.125);
    expect(perplexity(Math.log(7))).toBeCloseTo(7, 12);
  });

  it("refuses sides of different length, and nothing", () => {
    expect(() => accuracy([1], [1, 2])).toThrow(/1 predictions and 2 labels/);
    expect(() => pearson([], [])).toThrow(/at least one/);
  });
});
