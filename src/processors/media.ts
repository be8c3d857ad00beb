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
  row(source: unknown, name: string, settings: Settings, change: RandomChange | undefined): Promise<Row>;
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
  readonly kind: "picture" | "sound";
  readonly settings: unknown;
}
