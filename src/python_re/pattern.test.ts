import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { PatternBudget, PatternError, pythonPattern } from "./pattern.js";

type Row = readonly [
  pattern: string,
  text: string,
  how: "match" | "fullMatch" | "search" | "matchAll",
  answer: unknown,
];
const golden = join(import.meta.dirname, "fixtures/python_regex.json");
const rows: readonly Row[] = JSON.parse(readFileSync(golden, "utf8"));

/** What Python says of a row, said by us: errors by their being there. */
function answer([pattern, text, how]: Row): unknown {
  try {
    const compiled = pythonPattern(pattern);
    if (how === "matchAll")
      return compiled.matchAll(text).map((m) => [[...text.slice(0, m.index)].length, m.text]);
    const match = compiled[how](text);
    return match === undefined ? null : [match.text, ...match.groups.map((group) => group ?? null)];
  } catch (error) {
    if (error instanceof PatternError) return "error";
    throw error;
  }
}

describe("pythonPattern", () => {
  it(`answers as Python's re (${rows.length} rows)`, () => {
    const wanted = (value: unknown): unknown => (typeof value === "string" ? "error" : value);
    expect(rows.map((row) => [...row.slice(0, 3), answer(row)])).toEqual(
      rows.map((row) => [...row.slice(0, 3), wanted(row[3])]),
    );
  });

  it("names groups", () => {
    const match = pythonPattern("(?P<list>\\w+)\\.(?P<idx>\\d+)(?P<rest>x)?").search("model.layers.12.mlp");
    expect(match?.named).toEqual({ list: "layers", idx: "12", rest: undefined });
    expect(match?.index).toBe(6);
  });

  it.each([
    ["repetitions of repetitions", "(([a-zA-Z]+)*)*!", "a".repeat(40)],
    ["empty repetitions", "((a?)*)*b", "a".repeat(60)],
    ["alternatives", "(a|a)*$!", "a".repeat(60)],
    ["references", "(.*)(.*)(.*)(.*)(.*)\\1\\2\\3\\4\\5x", "ab".repeat(60)],
    ["many rounds", "(a|b)*c", "a".repeat(200_000)],
  ])("stops: %s", (_, pattern, text) => {
    expect(() => pythonPattern(pattern).fullMatch(text)).toThrow(PatternBudget);
  });

  it("has one budget for all questions", () => {
    const pattern = pythonPattern("(a+)+!", { steps: 100_000 });
    expect(() => {
      for (let i = 0; i < 100; i++) pattern.fullMatch("a".repeat(14));
    }).toThrow(PatternBudget);
  });

  it("refuses what is too deep or too long, by position", () => {
    expect(() => pythonPattern("(".repeat(10_000))).toThrow(/nested too deep at position/);
    expect(() => pythonPattern("a".repeat(100_000))).toThrow(PatternError);
    expect(() => pythonPattern("\\N{DIGIT ONE}")).toThrow(/names of characters are not known here/);
  });
});
