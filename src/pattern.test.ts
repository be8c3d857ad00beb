import { describe, expect, it } from "vitest";
import { boundPattern } from "./pattern.js";

const bound = (pattern: RegExp): ReturnType<typeof boundPattern> =>
  boundPattern(pattern, "a.json: field", "tokenizer");

describe("a bounded pattern", () => {
  it.each([
    [/(a+)+$/, `${"a".repeat(40)}!`],
    [/^(?=(?:\w+\s?)*$)/, `${"a".repeat(60)}!`],
    [/a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?a?b/g, "a".repeat(60)],
    [/(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a){20}b/, "a".repeat(60)],
  ])("%s ends, and says where it stands", (pattern, text) => {
    expect(() => bound(pattern).matches(text)).toThrow(/a\.json: field does not come to an end on a text/);
  });

  it.each([
    [/'s|'t| ?\p{L}+| ?\p{N}+|\s+(?!\S)|\s+/gu, "It's  2 😀 words".repeat(1000)],
    [/(?:)/gu, "a😀b"],
    [/b*/g, "abba"],
    [/(?<word>\w+) \k<word>/, "the the"],
    [/^(.*\.)?(layers\.(\d+)\.[qv])$/, "model.layers.12.q"],
    [/[\]()|*]{2,3}?/g, "]]()**"],
  ])("%s matches as without a bound", (pattern, text) => {
    const found = bound(pattern).matches(text);
    const plain = pattern.global ? [...text.matchAll(pattern)] : [pattern.exec(text)];
    expect(found).toEqual(plain);
    expect(found.map((match) => match.index)).toEqual(plain.map((match) => match?.index));
    expect(bound(pattern).test(text)).toBe(true);
    expect(bound(pattern).test(text)).toBe(true);
  });

  it("finds nothing where there is nothing", () => {
    expect(bound(/x/).matches("abc")).toEqual([]);
    expect(bound(/(x+)+y/g).test("abc".repeat(100))).toBe(false);
  });
});
