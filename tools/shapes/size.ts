import { PeftError } from "../../src/errors.js";

const POWERS = ["", "K", "M", "G"];

/** Bytes of "2GB", by 1000 as the Hub counts files (parseBytes counts memory, by 1024). Throws "option". */
export function parseSize(text: string): number {
  const found = /^(\d+(?:\.\d+)?)\s*([KMG]?)B?$/i.exec(text);
  const bytes =
    found === null ? 0 : Math.round(Number(found[1]) * 1000 ** POWERS.indexOf(found[2]!.toUpperCase()));
  if (bytes > 0) return bytes;
  throw new PeftError("option", {
    what: `"${text}" is no size.`,
    why: "a size is a number above 0 and KB, MB or GB.",
    fix: "write for example 2GB.",
  });
}
