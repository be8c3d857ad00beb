import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { nodeFiles } from "./files.js";
import {
  byCodePoint,
  formatJson,
  parseJson,
  parseJsonWithFloats,
  pythonFloat,
  readJsonObject,
} from "./json.js";

const fixture = fileURLToPath(new URL("fixtures/python.json", import.meta.url));

describe("Python's JSON", () => {
  test("what Python wrote is written again to the byte", async () => {
    const text = await nodeFiles.text(fixture);
    const { value, floats } = parseJsonWithFloats(text, fixture);
    expect(formatJson(value, floats)).toBe(text);
  });
  test("floats are known by their key, in lists below it too; without them 1 stays 1", () => {
    const value = { lora_dropout: 0, betas: [1, 0.999], r: 1 };
    expect(formatJson(value, new Set(["lora_dropout", "betas"]))).toBe(
      '{\n  "betas": [\n    1.0,\n    0.999\n  ],\n  "lora_dropout": 0.0,\n  "r": 1\n}',
    );
    expect(formatJson({ lora_dropout: 0 })).toBe('{\n  "lora_dropout": 0\n}');
  });
  test("floats are written as Python's repr", () => {
    const cases: [number, string][] = [
      [0.0001, "0.0001"],
      [0.00001, "1e-05"],
      [1e15, "1000000000000000.0"],
      [1e16, "1e+16"],
      [-1.5e-7, "-1.5e-07"],
      [1e100, "1e+100"],
      [12.25, "12.25"],
      [-0, "-0.0"],
      [Number.NEGATIVE_INFINITY, "-Infinity"],
    ];
    for (const [x, expected] of cases) expect(pythonFloat(x)).toBe(expected);
  });
  test("NaN and Infinity are read", () => {
    const value = parseJson('{"limit": [0.0, Infinity], "x": NaN}', "x.json");
    expect(value).toEqual({ limit: [0, Number.POSITIVE_INFINITY], x: Number.NaN });
  });
  test("undefined fields are left out", () => {
    expect(formatJson({ a: undefined, b: 1 })).toBe('{\n  "b": 1\n}');
  });
});

describe("faults are named with file, line and column", () => {
  const cases: [string, RegExp][] = [
    ['{\n  "a": 1,\n}', /"c\.json" is not valid JSON, line 3 column 1.*double quotes/],
    ['{"a" 1}', /line 1 column 6.*":" is expected/],
    ['{"a": [1, 2', /the text ends there/],
    ['{"a": tru}', /line 1 column 7.*"tru" is no value/],
    ['{"a": 01}', /"01" is no value/],
    ["", /line 1 column 1.*ends there/],
    ['{} "x"', /more text after/],
    ['"no end', /does not end/],
    [`${"[".repeat(100_000)}${"]".repeat(100_000)}x`, /levels of nesting/],
  ];
  test.each(cases)("%#", (text, message) => {
    expect(() => parseJson(text, "c.json")).toThrow(message);
  });
  test("a list where an object is due", async () => {
    const files = { ...nodeFiles, text: async () => "[1]" };
    await expect(readJsonObject("c.json", files)).rejects.toThrow(/does not hold a JSON object.*a list/);
  });
});

test("keys sort by code point: U+FFEE before U+10000", () => {
  expect(["𐀀", "\uffee", "a", "aa", ""].sort(byCodePoint)).toEqual(["", "a", "aa", "\uffee", "𐀀"]);
});
