import { describe, expect, test } from "vitest";
import { siteNumber } from "../../src/graph/graph.js";
import { uniform } from "./uniform.js";

const elements = 4096;
const rows = 40;
const limit = 5; // deviations; none of the thousand that are measured should reach it

function row(key: number, site: number): Float64Array {
  return Float64Array.from({ length: elements }, (_, i) => uniform(key, site, i) - 0.5);
}
function sum(numbers: Float64Array): number {
  return numbers.reduce((total, x) => total + x, 0);
}
/** In deviations of what independent rows would give. */
function correlation(a: Float64Array, b: Float64Array): number {
  return (12 * sum(a.map((x, i) => x * b[i]!))) / Math.sqrt(elements);
}

const sites = [
  0,
  siteNumber("encoder.block.0.layer.0.dropout"),
  siteNumber("encoder.block.1.layer.0.dropout"),
];
const keys = [0, 77_000, -559_038_737].flatMap((first) => Array.from({ length: rows }, (_, i) => first + i));
const cases = sites.flatMap((site) => keys.map((key) => ({ key, site })));

describe("random numbers by counter", () => {
  test("stay in [0, 1) and are multiples of 2^-24", () => {
    for (let i = 0; i < 10_000; i++) {
      const x = uniform(i * 7919, sites[1]!, i);
      expect(x >= 0 && x < 1 && Number.isInteger(x * 2 ** 24)).toBe(true);
    }
  });

  test("are uniform in each row: mean, variance, and the share below a dropout rate", () => {
    for (const { key, site } of cases) {
      const x = row(key, site);
      expect(Math.abs(sum(x)) * Math.sqrt(12 / elements)).toBeLessThan(limit);
      const variance = sum(x.map((v) => v * v)) / elements;
      expect(Math.abs(variance - 1 / 12) * Math.sqrt(180 * elements)).toBeLessThan(limit);
      const below = x.filter((v) => v < 0.1 - 0.5).length;
      expect(Math.abs(below - 0.1 * elements) / Math.sqrt(0.09 * elements)).toBeLessThan(limit);
    }
  });

  test("of neighbouring rows, of neighbouring elements and of different sites are independent", () => {
    for (const { key, site } of cases) {
      const x = row(key, site);
      expect(Math.abs(correlation(x, row(key + 1, site)))).toBeLessThan(limit);
      expect(Math.abs(correlation(x, row(key, site + 1)))).toBeLessThan(limit);
      expect(Math.abs(correlation(x, row(key, siteNumber("classifier"))))).toBeLessThan(limit);
      for (const lag of [1, 2, 64, 768]) {
        const shifted = Float64Array.from(x, (_, i) => x[(i + lag) % elements]!);
        expect(Math.abs(correlation(x, shifted))).toBeLessThan(limit);
      }
    }
  });
});
