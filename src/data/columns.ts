import { PeftError } from "../errors.js";
import { keysOf } from "../narrow.js";
import { nearest } from "../nearest.js";
import { at } from "../present.js";
import { option as namedOption, words } from "../words.js";
import { listNames } from "./faults.js";
import { columnHint } from "./hints.js";
import { kinds } from "./kinds/index.js";
import { type RowOptions, type SlotSource, slotColumns } from "./load_options.js";
import type { RowKind } from "./row.js";
import type { Table } from "./tables/table.js";
import { print } from "./tables/values.js";
import { dataTasks } from "./tasks/registry.js";
import { fillTemplate, parseTemplate } from "./template.js";

export interface Resolved {
  kind: RowKind;
  slots: Record<string, SlotSource>;
  /** The column that class names may be stored for. */
  labelColumn: string | undefined;
  unused: readonly string[];
}

/** Decides what kind of row a table holds, and which column or template fills which slot. */
export function resolveColumns(table: Table, options: RowOptions): Resolved {
  const kind = chooseKind(table, options);
  const named = namedSlots(kind, table, options);
  const slots: Record<string, SlotSource> = { ...named };
  const lacking: string[] = [];
  const taken = new Set(Object.values(named).flatMap((source) => source.columns));
  for (const [slot, { names, optional, ofChats, several }] of Object.entries(kinds[kind].slots)) {
    if (ofChats && options.raw) continue;
    // A second text that happens to be there is not asked for where the user wrote the first one as a
    // template.
    if (slot in slots || (optional && options.template !== undefined)) continue;
    const free = table.columns.filter((name) => !taken.has(name));
    const column = findColumn(names, several ? free.map(stemOf) : free);
    if (column === undefined) {
      if (!optional) lacking.push(slot);
      continue;
    }
    const all = free.filter((name) => stemOf(name) === column);
    slots[slot] = several ? fromColumns(all) : fromColumn(column, optional);
    for (const name of several ? all : [column]) taken.add(name);
  }
  if (lacking.length > 0) throw missingSlots(kind, lacking, table, slotColumns(options));
  const label = slots["label"] ?? slots["tags"];
  const used = new Set(Object.values(slots).flatMap((source) => source.columns));
  return {
    kind,
    slots,
    labelColumn: label?.columns.length === 1 ? label.columns[0] : undefined,
    unused: table.columns.filter((name) => !used.has(name)),
  };
}

function chooseKind(table: Table, options: RowOptions): RowKind {
  const { template, target, taskType, language } = options;
  const columns = slotColumns(options);
  // A language is that of clips.
  const kind = options.kind ?? (language === undefined || taskType !== undefined ? undefined : "speech");
  if (kind !== undefined) {
    if (kind in kinds) return kind;
    throw unknownName("kind", kind, Object.keys(kinds));
  }
  const task = dataTasks.find(taskType);
  if (taskType !== undefined && task === undefined)
    throw unknownName(
      "taskType",
      taskType,
      dataTasks.all.map(({ name }) => name),
    );
  if (template !== undefined || target !== undefined)
    return task?.templated ?? (target === undefined ? "text" : "prompt");
  const candidates = task?.tables ?? keysOf(kinds);
  const found = candidates.find((candidate) => {
    const named = Object.keys(columns).map((name) => slotNamed(candidate, name));
    if (named.includes(undefined)) return false;
    return Object.entries(kinds[candidate].slots).every(
      ([slot, { names, optional }]) =>
        optional || named.includes(slot) || findColumn(names, table.columns) !== undefined,
    );
  });
  const last = at(candidates, -1);
  if (found === undefined && taskType === undefined) throw unknownKind(table, columns);
  return found ?? last;
}

/** The slot that a name of a mapping stands for: its own, or one of the usual names of its column. */
function slotNamed(kind: RowKind, name: string): string | undefined {
  const { slots } = kinds[kind];
  if (Object.hasOwn(slots, name)) return name;
  return Object.keys(slots).find((slot) => slots[slot]?.names.includes(name));
}

/**
 * The slots that the user filled, by template or by column. All columns that are not there are reported
 * together.
 */
function namedSlots(kind: RowKind, table: Table, options: RowOptions): Record<string, SlotSource> {
  const { template, target } = options;
  const slots: Record<string, SlotSource> = {};
  const [first, last] =
    kind === "classify" ? ["text", "label"] : kind === "text" ? ["text", ""] : ["prompt", "target"];
  if (template !== undefined) slots[first!] = fromTemplate("template", template, table);
  if (target !== undefined) slots[last!] = fromTemplate("target", target, table);
  for (const [name, column] of Object.entries(slotColumns(options))) {
    const slot = slotNamed(kind, name);
    if (slot === undefined)
      throw unknownName(`columns of kind "${kind}"`, name, Object.keys(kinds[kind].slots));
    slots[slot] = fromColumn(column, undefined);
  }
  const needed = new Set(Object.values(slots).flatMap((source) => source.columns));
  const missing = [...needed].filter((column) => !table.columns.includes(column));
  if (missing.length > 0) throw missingColumns(missing, table);
  for (const slot of Object.keys(slots)) {
    if (!(slot in kinds[kind].slots))
      throw unknownName(`slots of kind "${kind}"`, slot, Object.keys(kinds[kind].slots));
  }
  return slots;
}

function fromColumn(column: string, optional: true | undefined): SlotSource {
  return { columns: [column], optional: optional ?? false, get: (record) => record.values[column] };
}

/** What stands in several columns, as a list; none of them need be there. */
function fromColumns(columns: readonly string[]): SlotSource {
  return { columns, optional: true, get: (record) => columns.map((column) => record.values[column]) };
}

/** A column's name without its number: negative_1 and negative_2 are negatives. */
function stemOf(column: string): string {
  return column.replace(/_?\d+$/, "");
}

/** A template of one column and nothing else gives that column's value as it is; any other gives text. */
function fromTemplate(option: string, source: string, table: Table): SlotSource {
  const template = parseTemplate(source);
  const { parts, columns } = template;
  const only = columns[0];
  if (only === undefined) {
    const close = nearest(source.trim(), table.columns);
    throw new PeftError("data", {
      what: `The ${option} ${JSON.stringify(source)} names no column.`,
      why: `it would be the same for every row; the columns are ${listNames(table.columns)}.`,
      fix: words`write a column in braces: ${namedOption(option, `{${close ?? table.columns[0] ?? "column"}}`)}.`,
    });
  }
  if (parts.length === 1) return fromColumn(only, undefined);
  return {
    columns,
    optional: false,
    get: (record) => fillTemplate(template, (column) => print(record.values[column])),
  };
}

function findColumn(names: readonly string[], columns: readonly string[]): string | undefined {
  for (const name of names) {
    const found =
      columns.find((column) => column === name) ?? columns.find((column) => column.toLowerCase() === name);
    if (found !== undefined) return found;
  }
  return undefined;
}

function missingColumns(missing: readonly string[], table: Table): PeftError {
  const hints = missing.map((name) => {
    const close = nearest(name, table.columns);
    return close === undefined
      ? `name another in place of "${name}"`
      : `write "${close}" in place of "${name}"`;
  });
  return new PeftError("data", {
    what: `Missing ${missing.length > 1 ? "columns" : "column"} ${missing.map((name) => `"${name}"`).join(", ")}.`,
    why: `the data set's columns are ${listNames(table.columns, true)}.`,
    fix: `${hints.join(", ")}.`,
  });
}

function missingSlots(
  kind: RowKind,
  lacking: readonly string[],
  table: Table,
  named?: Readonly<Record<string, string>>,
): PeftError {
  const usual = lacking.map(
    (slot) => `${slot} (usually ${(kinds[kind].slots[slot]?.names ?? []).join(", ")})`,
  );
  const given = Object.fromEntries(lacking.map((slot) => [slot, table.columns[0]]));
  return new PeftError("data", {
    what: `No column is known to be ${usual.join(" or ")}.`,
    why: `rows of kind "${kind}" need it, and the data set's columns are ${listNames(table.columns)} (first at ${table.records[0]?.at}).`,
    fix:
      kind === "classify" || kind === "prompt"
        ? columnHint(table, named)
        : words`say which columns they are: ${namedOption("columns", given)}.`,
  });
}

function unknownKind(table: Table, named: Readonly<Record<string, string>>): PeftError {
  return new PeftError("data", {
    what: "It cannot be told from the columns what is to be learnt.",
    why: `the data set's columns are ${listNames(table.columns)} (first at ${table.records[0]?.at}).`,
    fix: columnHint(table, named),
  });
}

function unknownName(what: string, name: string, known: readonly string[]): PeftError {
  const close = nearest(name, known);
  return new PeftError("option", {
    what: `Unknown name "${name}" in ${what}.`,
    why: `known are ${known.join(", ")}.`,
    fix: `write ${close ?? known[0]}.`,
  });
}
