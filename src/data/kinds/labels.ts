import { nearest } from "../../nearest.js";
import type { Fault } from "../faults.js";
import { show } from "../tables/table.js";

/** A class id given as a number, or as the digits that CSV makes of it. */
export function asId(value: unknown): number | undefined {
  const id = typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value;
  return typeof id === "number" && Number.isInteger(id) && id >= 0 ? id : undefined;
}

/** Class names: those given; or "0" .. where all labels are ids; or all that occur, sorted. */
export function namesOf(values: readonly unknown[], given: readonly string[] | undefined): readonly string[] {
  if (given !== undefined) return given;
  const present = values.filter((value) => value !== undefined && value !== null && value !== "");
  const ids = present.map(asId);
  if (present.length > 0 && ids.every((id) => id !== undefined)) {
    const most = ids.reduce((a, b) => Math.max(a, b), 0);
    return Array.from({ length: most + 1 }, (_, i) => String(i));
  }
  return [...new Set(present.map(String))].sort();
}

/** Reads a label as its class id: by name first, then as an id. -100 stays what it is: not learnt. */
export function nameIds(
  names: readonly string[],
): (value: unknown, at: string, faults: Fault[]) => number | undefined {
  const byName = new Map(names.map((name, i) => [name, i]));
  return (value, at, faults) => {
    if (value === -100) return -100;
    const id = byName.get(String(value)) ?? asId(value);
    if (id !== undefined && id < names.length) return id;
    const close = typeof value === "string" ? nearest(value, names) : undefined;
    const list = names.length > 12 ? `${names.slice(0, 12).join(", ")}, ...` : names.join(", ");
    const hint = close === undefined ? "" : ` (did you mean ${close}?)`;
    faults.push({
      at,
      says: `the label ${show(value)} is none of the ${names.length} classes ${list}${hint}`,
    });
    return undefined;
  };
}
