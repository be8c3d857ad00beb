import { describe, expect, it } from "vitest";
import { parseBytes, sizeText } from "./sizes.js";

describe("parseBytes", () => {
  it.each([
    ["4GB", 4 * 2 ** 30],
    ["900 MB", 900 * 2 ** 20],
    ["1.5gb", 1.5 * 2 ** 30],
    ["2GiB", 2 * 2 ** 30],
    ["3g", 3 * 2 ** 30],
    ["512k", 512 * 1024],
    [1048576, 1048576],
  ])("reads %s", (text, bytes) => expect(parseBytes(text)).toBe(bytes));

  it.each(["", "lots", "-4GB", "0", "0GB", "4", "1048576", "4 apples", "4GBs", Number.NaN])(
    "refuses %s",
    (text) => expect(() => parseBytes(text)).toThrow(/\[option\].*no size of memory/),
  );

  it("says the unit that is likely meant", () => {
    expect(() => parseBytes("4")).toThrow(/fix: write it with its unit: maxMemory: "4GB"/);
  });
});

describe("sizeText", () => {
  it("rounds up, and is read back as no less", () => {
    expect(sizeText(2 ** 30 + 1)).toBe("1.1GB");
    expect(sizeText(5 * 2 ** 20)).toBe("5MB");
    for (const bytes of [123456, 1e9, 4.04e9, 7e10])
      expect(parseBytes(sizeText(bytes))).toBeGreaterThanOrEqual(bytes);
  });
});
