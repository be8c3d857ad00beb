import { describe, expect, it } from "vitest";
import { parseJson, print, toJson } from "./values.js";

describe("numbers as Python prints them", () => {
  // print(json.loads(text)) for each, Python 3.11
  it.each([
    ["12345678901234567890", "12345678901234567890"],
    ["-9007199254740993", "-9007199254740993"],
    ["1.0", "1.0"],
    ["-0.0", "-0.0"],
    ["-0", "0"],
    ["1e5", "100000.0"],
    ["1E400", "inf"],
    ["1e16", "1e+16"],
    ["0.00001", "1e-05"],
    ["1.50", "1.5"],
    ["3", "3"],
    ["NaN", "nan"],
    ["-Infinity", "-inf"],
  ])("%s", (text, printed) => {
    expect(print(parseJson(text, "it"))).toBe(printed);
    const nested = `{"a": [${text}, "1.0"]}`;
    expect(toJson(parseJson(nested, "it"))).toBe(`{"a": [${printed}, "1.0"]}`);
  });

  it("leaves texts alone, whatever stands in them", () => {
    const text = '{"a \\" 1.0": "12345678901234567890 [[[ \\\\", "__proto__": 1.0}';
    expect(toJson(parseJson(text, "it"))).toBe(text);
  });

  it("refuses deep nesting and endless numbers", () => {
    expect(() => parseJson("[".repeat(1e6), "it")).toThrow("500 levels");
    expect(() => parseJson("9".repeat(5000), "it")).toThrow("not valid JSON");
    expect(toJson(parseJson("[".repeat(400) + "]".repeat(400), "it"))).toHaveLength(800);
  });
});
