import { expect, it } from "vitest";
import { value } from "../../tests/ops/arrays.js";
import { evaluate } from "../../tests/ops/evaluate.js";
import { Graph } from "../graph/graph.js";
import { dropChange, keptBlocks } from "./weight_dropout.js";

const numbers: Readonly<Record<string, readonly number[]>> = { ranks: [0.1, 0.3, 0.9, 0.5], module: [0.25] };

function dropped(options: { rankDropout: number; isScaled: boolean; moduleDropout: number }): number[] {
  const g = new Graph();
  const draw = (name: string, shape: readonly number[]) => g.input(name, shape);
  const y = dropChange({ g, draw }, g.input("y", [1, 4]), 4, options);
  const feeds = Object.entries(numbers).map(([name, data]) => [name, value([...data], [data.length])]);
  return [...evaluate(g, [y], { y: value([1, 2, 3, 4], [1, 4]), ...Object.fromEntries(feeds) })[0]!.data];
}

it("drops outputs that drew no more than the share, and scales the others to make up for them", () => {
  expect(dropped({ rankDropout: 0.3, isScaled: false, moduleDropout: 0 })).toEqual([0, 0, 3, 4]);
  expect(dropped({ rankDropout: 0.3, isScaled: true, moduleDropout: 0 })).toEqual([0, 0, 6, 8]);
  expect(dropped({ rankDropout: 0.95, isScaled: true, moduleDropout: 0 })).toEqual([0, 0, 0, 0]);
});

it("drops all of a layer's change at once", () => {
  expect(dropped({ rankDropout: 0, isScaled: false, moduleDropout: 0.25 })).toEqual([0, 0, 0, 0]);
  expect(dropped({ rankDropout: 0, isScaled: false, moduleDropout: 0.2 })).toEqual([1, 2, 3, 4]);
});

it("drops nothing in evaluation", () => {
  const g = new Graph();
  const y = g.input("y", [1, 4]);
  const options = { rankDropout: 0.5, isScaled: true, moduleDropout: 0.5 };
  expect(dropChange({ g, draw: () => undefined }, y, 4, options)).toBe(y);
});

it("drops exactly so many blocks", () => {
  const g = new Graph();
  const kept = keptBlocks(g, g.input("drawn", [4]), 4, 2);
  const feeds = { drawn: value([0.1, 0.3, 0.9, 0.2], [4]) };
  expect([...evaluate(g, [kept], feeds)[0]!.data]).toEqual([0, 1, 1, 0]);
});
