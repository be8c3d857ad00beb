import type { OptionRow } from "../options.js";
import { faultOf } from "../options.js";
import { option, words } from "../words.js";
import type { SayFault } from "./method.js";

/** Fields of an option that is an object, under Python's names, which its file has too. */
export type NestedTable = Readonly<Record<string, OptionRow>>;

type Given = Readonly<Record<string, unknown>> | undefined;

/** A number of such an option, or its default. */
export function numberIn(given: Given, table: NestedTable, field: string): number {
  return Number(given?.[field] ?? table[field]?.byDefault);
}

/** Says fields that are not there, and values that do not fit. */
export function checkNested(name: string, given: Given, table: NestedTable, fault: SayFault): void {
  for (const [field, value] of Object.entries(given ?? {})) {
    const row = table[field];
    const wanted = row === undefined || value === null ? undefined : faultOf(row, value);
    if (row !== undefined && wanted === undefined) continue;
    fault(
      words`${option(name)} has ${field}: ${JSON.stringify(value)}.`,
      row === undefined
        ? `its fields are ${Object.keys(table).join(", ")}, as in Python.`
        : `it is ${wanted}.`,
      row === undefined
        ? "leave it out."
        : words`${field}: ${JSON.stringify(row.byDefault)}, which is the default.`,
    );
  }
}
