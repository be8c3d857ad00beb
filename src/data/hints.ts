import { entry } from "../present.js";
import { option, type Words, words } from "../words.js";
import type { Table } from "./tables/table.js";

/**
 * What to say where the columns do not tell what is to be learnt, with this table's own columns: which look
 * like a text and its class, or like a prompt and what follows it. `named` are columns that the user named
 * already.
 */
export function columnHint(table: Table, named: Readonly<Record<string, string>> = {}): Words {
  const taken = new Set(Object.values(named));
  const free = table.columns.filter((column) => !taken.has(column));
  const text = named["text"] ?? longest(table, free) ?? "COLUMN";
  const label = named["label"] ?? fewest(table, free, text) ?? "COLUMN";
  const classes = option("columns", { ...named, text, label });
  if (Object.keys(named).length > 0) return words`name all of them: ${classes}.`;
  const [first = "COLUMN", second = first] = table.columns;
  return words`say it: ${classes} to tell classes apart; ${option("template", `{${first}}`)} ${option("target", `{${second}}`)} to write an answer; ${option("columns", { messages: "COLUMN" })} for chats.`;
}

/** The column with the longest texts on average. */
function longest({ records }: Table, columns: readonly string[]): string | undefined {
  const length = (column: string): number =>
    records.reduce((n, { values }) => n + lengthOf(values[column]), 0);
  return sorted(columns, (column) => -length(column))[0];
}

function lengthOf(value: unknown): number {
  return typeof value === "string" ? value.length : 0;
}

/** The column with the fewest values that come again. */
function fewest({ records }: Table, columns: readonly string[], text: string): string | undefined {
  const distinct = (column: string): number => new Set(records.map(({ values }) => values[column])).size;
  return sorted(
    columns.filter((column) => column !== text),
    distinct,
  )[0];
}

function sorted(columns: readonly string[], by: (column: string) => number): string[] {
  const keys = new Map(columns.map((column) => [column, by(column)]));
  return [...columns].sort((a, b) => entry(keys, a) - entry(keys, b));
}
