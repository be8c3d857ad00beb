import { describe, expect, it } from "vitest";
import { Arena } from "./arena.js";

const MB = 1 << 20;

describe("Arena", () => {
  it("counts what was written, not what was reserved", () => {
    const arena = new Arena();
    arena.take(3 * MB);
    expect(arena.touched).toBe(3 * MB);
  });

  it("fills a hole again", () => {
    const arena = new Arena();
    const hole = arena.take(4 * MB);
    arena.take(MB);
    const before = arena.touched;
    arena.give(hole);
    arena.take(4 * MB);
    expect(arena.touched).toBe(before);
  });

  it("merges neighbours", () => {
    const arena = new Arena();
    const [a, b] = [arena.take(16 * MB), arena.take(MB)];
    arena.give(b);
    arena.give(a);
    arena.take(16 * MB);
    expect(arena.touched).toBeLessThan(18 * MB);
  });

  it("takes a chunk whole where less than half of it would be left", () => {
    const arena = new Arena();
    const chunk = arena.take(MB);
    arena.take(1);
    arena.give(chunk);
    arena.take(600 * 1024);
    arena.take(100 * 1024); // the rest of the hole was not split off
    expect(arena.touched).toBeGreaterThan(MB + 100 * 1024);
  });
});
