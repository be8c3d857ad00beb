import type { ProblemType } from "../batch.js";
import type { Fault } from "../faults.js";
import type { RowKind } from "../row.js";
import { isScalar, print, show } from "../tables/values.js";

/**
 * A place that a column fills. `names` are the columns taken for it when the user names none, the first that
 * is there.
 */
export interface Slot {
  readonly names: readonly string[];
  readonly optional?: true;
  /**
   * All columns of these names fill it, numbered ones too (negative_1, negative_2): their values are a list.
   */
  readonly several?: true;
  /** Only a chat template writes it. */
  readonly ofChats?: true;
}

/** A record with its columns put into the slots. */
export interface Entry {
  readonly at: string;
  readonly values: Readonly<Record<string, unknown>>;
  /** Where the file lies that it stood in. */
  readonly folder?: string | undefined;
}

export interface KindOptions {
  /** Class names in the order of their ids; without them they are derived from the rows, sorted. */
  labels?: readonly string[] | undefined;
  problemType?: ProblemType | undefined;
  /** Whether lists of labels are a mark (0 or 1) for each class; read off all of them without it. */
  marks?: boolean | undefined;
  /** The language that is spoken in all clips; without it a column may say it. */
  language?: string | undefined;
  /** What stands beside clips is a translation to English. */
  isTranslated?: boolean | undefined;
  /** Prompts are learnt as they are written, without a chat template. */
  literal?: boolean | undefined;
}

/**
 * What the labels of all rows decide together. Rows that are streamed have it settled before the first of
 * them is read.
 */
export interface LabelSlot {
  readonly slot: string;
  /** What a row's label says by itself: a list of tags says each of them. */
  parts(value: unknown): readonly unknown[];
  /** The same options with what these values decide; what is given stays. */
  settle(values: readonly unknown[], options: KindOptions): KindOptions;
}

/**
 * How one kind of row is found among columns and read. Rows that are wrong are left out and named in
 * `faults`.
 */
export interface Kind<R> {
  readonly kind: RowKind;
  readonly slots: Readonly<Record<string, Slot>>;
  readonly labels?: LabelSlot;
  convert(entries: readonly Entry[], faults: Fault[], options: KindOptions): R[];
}

/** What is wrong with one entry. */
class Refusal extends Error {}

/** Leaves out the entry that is read, and says why. */
export function refuseEntry(says: string): never {
  throw new Refusal(says);
}

/** Reads entries one by one; those that are refused become faults. */
export function readEntries<R>(entries: readonly Entry[], faults: Fault[], read: (entry: Entry) => R): R[] {
  return entries.flatMap((entry) => {
    try {
      return [read(entry)];
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      faults.push({ at: entry.at, says: error.message });
      return [];
    }
  });
}

/** A value as text; numbers and booleans as they print. Anything else is a fault and gives undefined. */
export function asText(entry: Entry, slot: string, faults: Fault[]): string | undefined {
  const value = entry.values[slot];
  if (isScalar(value)) return print(value);
  faults.push({ at: entry.at, says: `${slot} is ${show(value)}, not text` });
  return undefined;
}

/** A list as it is, or a text of words split at white space. */
export function asList(entry: Entry, slot: string, faults: Fault[]): readonly unknown[] | undefined {
  const value = entry.values[slot];
  const list = listOrWords(value);
  if (list !== undefined) return list;
  faults.push({ at: entry.at, says: `${slot} is ${show(value)}, not a list` });
  return undefined;
}

export function listOrWords(value: unknown): readonly unknown[] | undefined {
  if (Array.isArray(value)) return value;
  return typeof value === "string" ? value.split(/\s+/).filter((word) => word !== "") : undefined;
}
