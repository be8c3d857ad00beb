import { nearest } from "../../nearest.js";
import { type Fault, listNames } from "../faults.js";
import { Float, isScalar, print, show } from "../tables/values.js";

/** Class ids go up to here: a head has so many rows. Larger numbers are names, or a mistake. */
const mostClasses = 100_000;

/** What pandas and Python write for a value that is not there. */
const missing = new Set([
  "",
  "nan",
  "NaN",
  "-nan",
  "-NaN",
  "NA",
  "<NA>",
  "N/A",
  "n/a",
  "#N/A",
  "#NA",
  "NULL",
  "null",
  "None",
]);

export function isMissing(value: unknown): boolean {
  if (typeof value === "string") return missing.has(value.trim());
  if (value === undefined || value === null) return true;
  return (typeof value === "number" || value instanceof Float) && Number.isNaN(Number(value));
}

/** A class id given as a number, or as the digits that CSV makes of it. */
export function asId(value: unknown): number | undefined {
  if (typeof value === "string") return /^\d{1,15}$/.test(value) ? Number(value) : undefined;
  const id = value instanceof Float || typeof value === "bigint" ? Number(value) : value;
  return typeof id === "number" && Number.isInteger(id) && id >= 0 ? id : undefined;
}

/** Not learnt, in every data set of Hugging Face's. */
function isIgnored(value: unknown): boolean {
  return (
    (typeof value === "string" || value instanceof Float || typeof value === "number") &&
    Number(value) === -100
  );
}

/** Class names: those given; or "0" .. where all labels are ids; or all that occur, sorted. */
export function namesOf(values: readonly unknown[], given: readonly string[] | undefined): readonly string[] {
  if (given !== undefined) return given;
  const said = values.filter((value) => isScalar(value) && !isIgnored(value));
  const ids = said.filter((value) => !isMissing(value)).map(asId);
  if (ids.length > 0 && ids.every((id) => id !== undefined)) {
    const most = ids.reduce((a, b) => (b < mostClasses ? Math.max(a, b) : a), -1);
    return Array.from({ length: most + 1 }, (_, i) => String(i));
  }
  return [...new Set(said.map(print).filter((name) => name !== ""))].sort();
}

/** Reads a label as its class id: by name first, then as an id. -100 stays what it is: not learnt. */
export function nameIds(
  names: readonly string[],
): (value: unknown, at: string, faults: Fault[]) => number | undefined {
  const byName = new Map(names.map((name, i) => [name, i]));
  return (value, at, faults) => {
    const name = isScalar(value) ? print(value) : "";
    if (isIgnored(value) && !byName.has(name)) return -100;
    const id = byName.get(name) ?? asId(value);
    if (id !== undefined && id < names.length) return id;
    const says = faults.length < 10 ? wrong(value, id, names) : "is no class"; // nobody reads more
    faults.push({ at, says: `the label ${show(value)} ${says}` });
    return undefined;
  };
}

function wrong(value: unknown, id: number | undefined, names: readonly string[]): string {
  if (!isScalar(value)) return "is no name and no number";
  if (isMissing(value)) return "is a missing value";
  if (id !== undefined && id >= mostClasses) return `is no class id, which end at ${mostClasses - 1}`;
  const isShort = typeof value === "string" && value.length <= 100 && names.length <= 1000;
  const close = isShort ? nearest(value, names) : undefined;
  const hint = close === undefined ? "" : ` (did you mean ${close}?)`;
  return `is none of the ${names.length} classes ${listNames(names)}${hint}`;
}
