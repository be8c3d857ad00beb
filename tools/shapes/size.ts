import { PeftError } from "../../src/errors.js";

const POWERS = ["", "K", "M", "G"];

/** Bytes of "2GB": memory is counted by 1024, files on the Hub by 1000; or a plain number. Throws "option". */
export function parseSize(text: string, kilo: 1000 | 1024): number {
  const found = /^(\d+(?:\.\d+)?)\s*([KMG]?)B?$/i.exec(text);
  const bytes =
    found === null ? 0 : Math.round(Number(found[1]) * kilo ** POWERS.indexOf(found[2]!.toUpperCase()));
  if (bytes > 0) return bytes;
  throw new PeftError("option", {
    what: `"${text}" is no size.`,
    why: "a size is a number above 0 and KB, MB or GB.",
    fix: "write for example 2GB.",
  });
}
