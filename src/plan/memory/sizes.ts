import { PeftError } from "../../errors.js";
import { availableBytes, residentBytes } from "../../platform.js";
import { option, words } from "../../words.js";

const [KB, MB, GB, TB] = [2 ** 10, 2 ** 20, 2 ** 30, 2 ** 40];
const UNITS = new Map([
  ["", 1],
  ["K", KB],
  ["M", MB],
  ["G", GB],
  ["T", TB],
]);

/**
 * Bytes of a size as people write it: "4GB", "900 MB", "1.5gb", "2GiB" (all of them by 1024), or bytes, as a
 * number. @throws "option"
 */
export function parseBytes(text: string | number): number {
  const found = /^\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(I?B)?\s*$/i.exec(`${text}`);
  const hasUnit = typeof text === "number" || /[a-z]/i.test(text);
  const unit = UNITS.get(found?.[2]?.toUpperCase() ?? "");
  const bytes = found === null || !hasUnit ? 0 : Math.floor(Number(found[1]) * (unit ?? 0));
  if (bytes > 0) return bytes;
  throw new PeftError("option", {
    what: words`${option("maxMemory", text)} is no size of memory.`,
    why: "it is a number above 0 and its unit: KB, MB, GB or TB.",
    fix: words`write it with its unit: ${option("maxMemory", hasUnit || found === null || Number(found[1]) > 9999 ? "4GB" : `${found[1]}GB`)}.`,
  });
}

/** Bytes that this process may still take, and what it has already: the machine's, or its container's. */
export function freeMemory(): number {
  return availableBytes() + residentBytes();
}

/** A size as `parseBytes` reads it: "4.1GB", "900MB"; upwards, so that what is read off does. */
export function sizeText(bytes: number): string {
  const [unit, size] = bytes < GB ? ["MB", MB] : ["GB", GB / 10];
  const count = Math.ceil(bytes / size);
  return unit === "MB" ? `${count}MB` : `${count / 10}GB`;
}
