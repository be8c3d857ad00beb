import { describe, expect, it, test } from "vitest";
import {
  addDims,
  broadcast,
  type Dim,
  dimNames,
  divDims,
  evalDim,
  findDims,
  isLocalDim,
  localDim,
  mulDims,
  renameDim,
  solveDim,
  subDims,
} from "./dims.js";

describe("a dimension is in canonical form: equal ones are ===", () => {
  it("whatever the order it was written in", () => {
    expect(addDims("seq", "past")).toBe("past+seq");
    expect(addDims("past", "seq")).toBe("past+seq");
    expect(mulDims("seq", "batch")).toBe("batch*seq");
    expect(mulDims(addDims("past", "seq"), "batch")).toBe("batch*past+batch*seq");
    expect(mulDims(addDims("seq", 1), 2)).toBe("2*seq+2");
  });

  it("terms that add up to nothing are gone", () => {
    expect(subDims("past+seq", "past")).toBe("seq");
    expect(subDims("seq", "seq")).toBe(0);
    expect(addDims(subDims("seq", 3), 3)).toBe("seq");
    expect(mulDims("seq", 0)).toBe(0);
  });

  it("numbers stay numbers", () => {
    expect([addDims(2, 3), subDims(2, 3), mulDims(2, 3)]).toEqual([5, -1, 6]);
  });
});

test("evalDim: every name by its value; an unknown one is a fault of ours", () => {
  const sizes = new Map([
    ["batch", 2],
    ["seq", 5],
  ]);
  expect(evalDim("2*batch*seq+3", sizes)).toBe(23);
  expect(evalDim("seq-1", sizes)).toBe(4);
  expect(evalDim(7, sizes)).toBe(7);
  expect(() => evalDim("past", sizes)).toThrow(/past/);
});

describe("divDims: the whole part", () => {
  it("has what divides outside of it", () => {
    expect(divDims(addDims(mulDims("h", 4), 7), 4)).toBe("h+1");
    expect(divDims(addDims("h", 5), 2)).toBe("(h+1)/2+2");
    expect(divDims(addDims("h", -7), 2)).toBe("(h+1)/2-4");
    expect([divDims(7, 2), divDims("h", 1), divDims(mulDims("h", 6), 3)]).toEqual([3, "h", "2*h"]);
  });

  it("is a factor like any other, also of another quotient", () => {
    const half = divDims(addDims("h", 1), 2);
    const quarter = divDims(addDims(half, 1), 2);
    const area = addDims(mulDims(half, half, quarter, "batch"), mulDims(half, -3), 1);
    expect(dimNames(area).sort()).toEqual(["batch", "h", "h", "h", "h"]);
    for (const h of [0, 1, 2, 5, 8, 13]) {
      const [a, b] = [Math.floor((h + 1) / 2), Math.floor((Math.floor((h + 1) / 2) + 1) / 2)];
      const known = new Map([
        ["h", h],
        ["batch", 3],
      ]);
      expect(evalDim(area, known)).toBe(a * a * b * 3 - 3 * a + 1);
      const renamed = renameDim(area, (name) => (name === "h" ? "height" : name));
      expect(evalDim(renamed, new Map([...known, ["height", h]]))).toBe(evalDim(area, known));
    }
    expect(subDims(area, area)).toBe(0);
    expect(mulDims(addDims(half, 1), half)).toBe(mulDims(half, addDims(1, half)));
  });

  it("of a quotient is one quotient, however many there are", () => {
    const convolved = (n: Dim, kernel: number, stride: number): Dim =>
      addDims(divDims(addDims(n, -kernel), stride), 1);
    const kernels = [10, 3, 3, 3, 3, 2, 2];
    const frames = kernels.reduce<Dim>((n, kernel, i) => convolved(n, kernel, i === 0 ? 5 : 2), "samples");
    expect(frames).toBe("(samples+240)/320-1");
    for (const samples of [400, 719, 720, 16000, 16001])
      expect(evalDim(frames, new Map([["samples", samples]]))).toBe(
        kernels.reduce((n, k, i) => Math.floor((n - k) / (i === 0 ? 5 : 2)) + 1, samples),
      );
  });

  it("tells no name", () => {
    expect([...findDims([{ value: "x", shape: [divDims("h", 2)] }]).keys()]).toEqual([]);
  });
});

describe("findDims", () => {
  it("a name alone, and one beside others that some axis tells", () => {
    const found = findDims([
      { value: "mask", shape: ["batch", "past+seq"] },
      { value: "ids", shape: ["batch", "seq"] },
    ]);
    expect(found.get("seq")).toEqual({ value: "ids", axis: 1, less: [] });
    const past = found.get("past")!;
    expect(past).toMatchObject({ value: "mask", axis: 1 });
    expect(solveDim(past, [2, 9], new Map([["seq", 4]]))).toBe(5);
  });

  it("none of a product, nor of two unknown ones", () => {
    const found = findDims([{ value: "x", shape: ["batch*seq", "past+new", 4] }]);
    expect([...found.keys()]).toEqual([]);
  });
});

test("renameDim renames in every term and sorts anew", () => {
  expect(renameDim("batch*seq+seq", (name) => (name === "seq" ? "a" : name))).toBe("a+a*batch");
  expect(renameDim(3, () => "x")).toBe(3);
  expect(dimNames("batch*seq+2*past")).toEqual(expect.arrayContaining(["batch", "seq", "past"]));
});

test("a local dimension is told by its name", () => {
  expect(isLocalDim(localDim("slot0", "r"))).toBe(true);
  expect(isLocalDim("seq")).toBe(false);
});

test("broadcast aligns at the end, and refuses what differs", () => {
  expect(broadcast(["batch", 1, 4], ["seq", 4])).toEqual(["batch", "seq", 4]);
  expect(broadcast([], [2])).toEqual([2]);
  expect(() => broadcast(["batch"], ["seq"])).toThrow(/broadcast/);
});
