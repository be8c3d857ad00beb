import { describe, expect, it } from "vitest";
import { lossNamed } from "./registry.js";
import { triplet } from "./triplet.js";

describe("a loss by its name", () => {
  it("takes its options with it", () => {
    expect(lossNamed("triplet")).toBe(triplet);
    expect(lossNamed("triplet", {})).toBe(triplet);
    expect(lossNamed("triplet", { margin: 0.5, distance: "cosine" })).not.toBe(triplet);
    expect(lossNamed("cachedMultipleNegativesRanking", { scale: 30 }).chunk).toBe(32);
    expect(lossNamed("cachedMultipleNegativesRanking", { chunk: 8 }).chunk).toBe(8);
    expect(lossNamed("symmetricRanking", { scale: 30 }).name).toBe("symmetricRanking");
  });

  it("refuses options that it has not, by name", () => {
    expect(() => lossNamed("triplet", { scale: 2 })).toThrow(
      "lossOptions: { scale: 2 } is nothing for the loss triplet. why: its options are distance: euclidean or cosine or manhattan; margin: a number above 0.",
    );
    expect(() => lossNamed("triplet", { distance: "far" })).toThrow('lossOptions: { distance: "far" }');
    expect(() => lossNamed("cosent", { scale: -1 })).toThrow("lossOptions: { scale: -1 }");
    expect(() => lossNamed("spans", { scale: 1 })).toThrow("it has no options");
    expect(() => lossNamed("tripelt", { margin: 1 })).toThrow('There is no loss "tripelt"');
    expect(() => lossNamed(triplet, { margin: 1 })).toThrow("made already");
  });
});
