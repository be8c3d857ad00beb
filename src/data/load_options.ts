import type { NamesOf } from "../arguments.js";
import type { HubOptions } from "../hub/settings.js";
import type { ProblemType, TaskType } from "./batch.js";
import type { RowKind } from "./row.js";
import type { DataFormat } from "./tables/formats.js";
import type { DataRecord } from "./tables/table.js";
import type { Reader } from "./types.js";

/** What rows are and what of them is learnt, wherever they come from. */
export interface RowOptions {
  /** Text with columns in braces: `"Tweet text : {Tweet text} Label : "`. `{{` is a brace. */
  template?: string;
  /** What is learnt after it: `"{Label}"`. */
  target?: string;
  /**
   * Columns by what they are for, where their names do not say it: `{ text: "Tweet text", label: "Label" }`;
   * or a function that makes of each row one with the usual names.
   */
  columns?: Readonly<Record<string, string>> | RowMapping;
  /**
   * Columns whose numbers a custom loss, or an adapter's method, reads: they go with each row into the
   * batch's `columns`.
   */
  lossColumns?: readonly string[];
  /** What a row is. @default read off the template, the task and the columns */
  kind?: RowKind;
  /** What the model is for, where columns could mean several things. */
  taskType?: TaskType;
  /** Class names in the order of their ids, for example those of the training set. */
  labels?: readonly string[];
  /** What labels are. @default read off them */
  problemType?: ProblemType;
  /** Join prompt and completion plainly, where the model's chat template would write them. @default false */
  raw?: boolean;
  /** The language spoken in clips, as "hindi" or "hi". @default a column's; else nobody says */
  language?: string;
  /** What stands beside clips: what is said, or a translation of it to English. @default "transcribe" */
  speechTask?: "transcribe" | "translate";
  /** Read no more than this many rows. @default all */
  limit?: number;
  /**
   * Leave out pictures and clips that cannot be read, and say which; without it the first of them is an
   * error. @default false
   */
  skipBad?: boolean;
  /** Hears what is not used, and what may be meant otherwise. @default console.warn */
  warn?: (message: string) => void;
}

/** A row as it stands, as one with the usual names. */
export type RowMapping = (row: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>>;

/** What the columns of a file mean, and how it is read. */
export interface LoadDatasetOptions extends RowOptions {
  /** The form of the file. @default by its extension */
  format?: DataFormat;
  /** Of text files: "windows-1252", "utf-16", ... @default "utf-8" */
  encoding?: string;
  /** Which list of a JSON file that holds several. */
  split?: string;
  /** Read rows when they are needed, as a RowStream, in place of all of them at once. @default false */
  streaming?: false;
  /** Where the Hub is and who asks, for names that begin with hf://. @default the environment */
  hub?: HubOptions;
  /** Access to files. @default Node's own */
  reader?: Reader;
}

/** As LoadDatasetOptions, for rows that are streamed. */
export interface StreamDatasetOptions extends Omit<LoadDatasetOptions, "streaming"> {
  streaming: true;
}

export const rowNames: NamesOf<RowOptions> = {
  template: { also: ["prompt"] },
  target: { also: ["completion", "response"] },
  columns: { also: ["text", "label", "pair", "messages", "column_names"] },
  lossColumns: {},
  kind: {},
  taskType: { also: ["task"] },
  labels: { also: ["label_names", "class_names"] },
  problemType: {},
  raw: {},
  language: { also: ["lang"] },
  speechTask: {},
  limit: { also: ["max_samples"] },
  skipBad: {},
  warn: {},
};

export const loadNames: NamesOf<LoadDatasetOptions | StreamDatasetOptions> = {
  ...rowNames,
  format: {},
  encoding: {},
  split: {},
  streaming: {},
  hub: {},
  reader: {},
};

/** The mapping where it is a table; a function has given the columns their usual names. */
export function slotColumns({ columns }: RowOptions): Readonly<Record<string, string>> {
  return typeof columns === "object" ? columns : {};
}

/** How a slot gets its value from a record, and the columns that it needs. */
export interface SlotSource {
  readonly columns: readonly string[];
  readonly optional: boolean;
  get(record: DataRecord): unknown;
}
