import { expect, test } from "vitest";
import { Graph } from "./graph.js";

test("constants that JSON would take for one another are different nodes", () => {
  const g = new Graph();
  const nodes = [Infinity, -Infinity, Number.NaN, 0, -0].map((x) => g.scalar(x));
  expect(new Set(nodes).size).toBe(5);
});
