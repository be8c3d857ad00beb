import { describe, expect, it } from "vitest";
import { averageOf, reportClasses, reportLabels } from "./class_report.js";

const names = ["cat", "dog", "cow", "emu"];
const nameOf = (id: number): string => names[id] ?? String(id);

describe("reportClasses", () => {
  // sklearn.metrics.classification_report and confusion_matrix of the same
  const report = reportClasses([0, 0, 1, 2, 2, 0], [0, 1, 1, 2, 0, 0], nameOf);

  it("counts rows of a class by what they were told as, and leaves absent classes out", () => {
    expect(report.confusion).toEqual([
      [2, 0, 1],
      [1, 1, 0],
      [0, 0, 1],
    ]);
    expect(report.classes.map(({ label, support }) => [label, support])).toEqual([
      ["cat", 3],
      ["dog", 2],
      ["cow", 1],
    ]);
  });

  it("precision, recall and f1 of each class, and their means", () => {
    const [cat, dog, cow] = report.classes;
    expect(cat).toMatchObject({ precision: 2 / 3, recall: 2 / 3, f1: 2 / 3 });
    expect(dog).toMatchObject({ precision: 1, recall: 0.5, f1: 2 / 3 });
    expect(cow).toMatchObject({ precision: 0.5, recall: 1, f1: 2 / 3 });
    expect(averageOf(report, "macro").precision).toBeCloseTo((2 / 3 + 1 + 0.5) / 3, 12);
    expect(averageOf(report, "weighted").precision).toBeCloseTo((3 * (2 / 3) + 2 * 1 + 0.5) / 6, 12);
  });

  it("a class that nothing was told as has precision 0, no number that is none", () => {
    expect(reportClasses([0, 0], [0, 3], nameOf).classes[1]).toEqual({
      ...{ label: "emu", precision: 0, recall: 0, f1: 0, support: 1 },
    });
  });

  it("has no table of more classes than can be read", () => {
    const ids = Array.from({ length: 101 }, (_, i) => i);
    expect(reportClasses(ids, ids, nameOf).confusion).toBeUndefined();
  });
});

it("reportLabels: each label of a row by itself", () => {
  const report = reportLabels(
    [
      [1, 0],
      [1, 1],
      [0, 0],
    ],
    [
      [1, 1],
      [0, 1],
      [0, 0],
    ],
    nameOf,
  );
  expect(report).toMatchObject({
    f1: "micro",
    classes: [
      { label: "cat", precision: 0.5, recall: 1, support: 1 },
      { label: "dog", precision: 1, recall: 0.5, support: 2 },
    ],
  });
});
