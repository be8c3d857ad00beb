import { describe, expect, it } from "vitest";
import { random } from "../random.js";
import type { Sized } from "./buffers.js";
import { Buffers } from "./buffers.js";

const pool = (): Buffers<Sized> => new Buffers((byteLength) => ({ byteLength }));

describe("Buffers", () => {
  it("serves a request from the smallest buffer that is large enough", () => {
    const buffers = pool();
    const [large, small] = [buffers.take(100), buffers.take(50)];
    for (const buffer of [large, small]) buffers.give(buffer);
    expect(buffers.take(40)).toBe(small);
    expect(buffers.take(40)).toBe(large);
    expect(buffers.total).toBe(150);
  });

  it("evicts what is too small when a larger one is made", () => {
    const buffers = pool();
    const used = [buffers.take(10), buffers.take(20)];
    for (const buffer of used) buffers.give(buffer);
    buffers.take(30);
    expect(buffers.total).toBe(30);
  });

  it("forgets what does not come back, and spare ones when told to", () => {
    const buffers = pool();
    buffers.forget(buffers.take(10));
    expect(buffers.total).toBe(0);
    buffers.give(buffers.take(10));
    buffers.clear();
    expect(buffers.total).toBe(0);
  });

  /**
   * Of a step with rows of so many tokens: three wide results and five narrow ones live at once, given back
   * in turn.
   */
  function step(buffers: Buffers<Sized>, tokens: number): void {
    const wide = [0, 1, 2].map(() => buffers.take(400 * tokens));
    const narrow = [0, 1, 2, 3, 4].map(() => buffers.take(100 * tokens));
    for (const buffer of [...narrow, ...wide]) buffers.give(buffer);
  }

  it("takes no more for steps of differing lengths than for the longest alone", () => {
    const [buffers, longest] = [pool(), pool()];
    const next = random(0);
    const lengths = Array.from({ length: 200 }, () => 1 + Math.floor(512 * next()));
    for (const tokens of lengths) step(buffers, tokens);
    step(longest, Math.max(...lengths));
    expect(buffers.total).toBe(longest.total);
  });
});
