import { PeftError } from "../../src/errors.js";

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 1024,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
};

/** Bytes of "2GB" (10^9), "512MiB" (2^20), or a plain number. Throws "option". */
export function parseSize(text: string): number {
  const found = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(text);
  const unit = found === null ? undefined : UNITS[found[2]!.toUpperCase()];
  if (found !== null && unit !== undefined && Number(found[1]) > 0)
    return Math.round(Number(found[1]) * unit);
  throw new PeftError("option", {
    what: `"${text}" is no size.`,
    why: "a size is a number above 0 and KB, MB, GB (powers of 1000) or KiB, MiB, GiB (of 1024).",
    fix: "write for example 2GB.",
  });
}
