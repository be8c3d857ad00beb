import { expect, test } from "vitest";
import { codeOf, isOneOf, isRecord, isWhole, keysOf, messageOf } from "./narrow.js";

test("what a value is", () => {
  expect([{}, [], null, "a", new Map()].map(isRecord)).toEqual([true, false, false, false, true]);
  expect([1, 1.5, 2 ** 53, "1"].map(isWhole)).toEqual([true, false, false, false]);
  expect(isOneOf("b", ["a", "b"])).toBe(true);
  expect(isOneOf("toString", keysOf({ a: 1 }))).toBe(false);
});

test("what an error says", () => {
  expect(codeOf(Object.assign(new Error("no"), { code: "ENOENT" }))).toBe("ENOENT");
  expect([codeOf(new Error("no")), codeOf({ code: 1 }), codeOf(undefined)]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  expect([messageOf(new Error("no")), messageOf("no")]).toEqual(["no", "no"]);
});
