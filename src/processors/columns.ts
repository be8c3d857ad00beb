import { PeftError } from "../errors.js";
import { at } from "../present.js";

// Columns of batches that are made when their batch is: what a row refers to (a picture's file, a clip) is
// read, and becomes numbers, ahead of the step and off the main thread. A kind of media says how a row does.

/** Numbers of a batch: the first axis is the rows. */
export interface MediaColumn {
  /** Row-major. */
  readonly data: Float32Array | Int32Array;
  readonly shape: readonly number[];
}

/** Columns of a batch by their names. */
export type MediaColumns = Readonly<Record<string, MediaColumn>>;

/** What a row refers to. */
export interface Reference {
  /** A path, the bytes of a file, or what a file would hold: plain data, which a worker takes. */
  readonly source: unknown;
  /** Where the row stood, for errors. */
  readonly at: string;
}

/** How rows of one kind of media become columns. */
export interface MediaKind<Settings, Row> {
  /**
   * What one row adds to its batch.
   * @param change which random changes are made of it, in training
   * @throws "data", "file-format" where it cannot be read: the row may be skipped then
   */
  row(
    source: unknown,
    name: string,
    settings: Settings,
    change: RandomChange | undefined,
  ): Promise<Row>;
  /** Rows as one batch. */
  join(rows: readonly Row[], settings: Settings): MediaColumns;
}

/** Random changes of a row in training. */
export interface RandomChange {
  /** What may change, by names that the kind of media knows. */
  readonly augmentation: readonly string[];
  /** Of the row's random numbers: the same key gives the same change. */
  readonly key: number;
}

/** A processor whose work on rows is done where their batch is made. */
export interface RowProcessor {
  readonly job: MediaJob;
  /** Lengths of its columns' dimensions by the models' names for them, where all rows have the same. */
  readonly dims?: Readonly<Record<string, number>> | undefined;
  /** Names of random changes that it can make. */
  readonly augmentations?: readonly string[] | undefined;
}

/** What a processor does, as plain data, so that a worker does the same. */
export interface MediaJob {
  readonly kind: keyof typeof kinds;
  readonly settings: unknown;
}

/** Kinds of media, each loaded when it is first needed. */
const kinds = {
  picture: async (): Promise<unknown> => (await import("./pictures/picture_rows.js")).pictureRows,
};

/** The rows of one batch. */
export interface MediaRequest extends MediaJob {
  readonly references: readonly Reference[];
  /** Random changes, one for each row. @default nothing changes */
  readonly changes?: readonly RandomChange[] | undefined;
  /** What becomes of rows that cannot be read. @default "error" */
  readonly bad?: "error" | "skip" | undefined;
}

/** The columns of a batch, and which of its rows could not be read. */
export interface MediaResult {
  /** Of the rows that could; none where none could. */
  readonly columns: MediaColumns;
  /** By their places in the batch. */
  readonly skipped: readonly SkippedRow[];
}

/** A row that could not be read. */
export interface SkippedRow {
  readonly index: number;
  readonly says: string;
}

/** Makes the columns of a batch, row by row: the next one is decoded while this one is resized. */
export async function makeColumns(request: MediaRequest): Promise<MediaResult> {
  const { kind, settings, references, changes, bad = "error" } = request;
  const { row, join } = (await kinds[kind]()) as MediaKind<unknown, unknown>;
  const rows: unknown[] = [];
  const skipped: SkippedRow[] = [];
  const start = (i: number): Promise<unknown> | undefined => {
    const reference = references[i];
    if (reference === undefined) return undefined;
    const reading = row(reference.source, reference.at, settings, changes?.[i]);
    reading.catch(() => {}); // it is heard when its turn has come
    return reading;
  };
  let next = start(0);
  for (const index of references.keys()) {
    const current = next;
    next = start(index + 1);
    try {
      rows.push(await current);
    } catch (error) {
      if (bad === "error" || !isBadRow(error)) throw error;
      skipped.push({ index, says: `${at(references, index).at}: ${error.what}` });
    }
  }
  return { columns: rows.length === 0 ? {} : join(rows, settings), skipped };
}

function isBadRow(error: unknown): error is PeftError {
  return error instanceof PeftError && (error.code === "data" || error.code === "file-format");
}
