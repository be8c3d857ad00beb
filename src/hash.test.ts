import { expect, it } from "vitest";
import { fnv1a, textHash, unitsOf } from "./hash.js";

it("FNV-1a has the numbers of its authors", () => {
  // http://www.isthe.com/chongo/src/fnv/test_fnv.c
  expect(fnv1a(unitsOf("")) >>> 0).toBe(0x811c9dc5);
  expect(fnv1a(unitsOf("a")) >>> 0).toBe(0xe40c292c);
  expect(fnv1a(unitsOf("foobar")) >>> 0).toBe(0xbf9cf968);
  expect(fnv1a(unitsOf("bar"), fnv1a(unitsOf("foo"))) >>> 0).toBe(0xbf9cf968);
});

it("texts that differ a little have other hashes in every part, of one length", () => {
  const texts = ["", "a", "b", "ab", "ba", "a\0", "\0a", "x".repeat(50_000), "x".repeat(50_001)];
  const hashes = texts.map(textHash);
  for (const hash of hashes) expect(hash).toMatch(/^[0-9a-f]{32}$/);
  for (const part of [0, 8, 16, 24])
    expect(new Set(hashes.map((hash) => hash.slice(part, part + 8))).size).toBe(texts.length);
  expect(textHash("x".repeat(50_000))).toBe(hashes[7]);
});
