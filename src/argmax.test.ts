import { expect, test } from "vitest";
import { argmax } from "./argmax.js";

test("the largest, the first of equals, and what is no number before all", () => {
  expect(argmax(Float32Array.of(1, 3, 2, 3))).toBe(1);
  expect(argmax(new Float32Array(3).fill(Number.NEGATIVE_INFINITY))).toBe(0);
  expect(argmax(Float32Array.of(1, Number.NaN, 2))).toBe(1);
});
