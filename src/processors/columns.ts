import { PeftError } from "../errors.js";
import { at } from "../present.js";
import type { MediaColumns, MediaJob, MediaKind, RandomChange, Reference } from "./media.js";

/** Kinds of media, each loaded when it is first needed. */
const kinds: { readonly [K in MediaJob["kind"]]: () => Promise<unknown> } = {
  picture: async () => (await import("./pictures/picture_rows.js")).pictureRows,
  sound: async () => (await import("./sound/sound_rows.js")).soundRows,
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
