import type { ErrorCode } from "../errors.js";
import type { DimSource } from "../graph/dims.js";
import type { DType } from "../graph/ops.js";
import type { PartData } from "./formats/format.js";
import type { FormatName } from "./formats/index.js";
import type { Program } from "./program.js";

/** A tensor at the border to the worker. i64 and bool travel as Int32Array and are widened there. */
export interface HostTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

/** Bytes of a file. */
export interface FilePlace {
  readonly path: string;
  readonly offset: number;
}

/** Some bytes of what lies in several places. */
export interface FilePiece extends FilePlace {
  readonly bytes: number;
}

/** Bytes of files, one piece behind the other: of a stack whose matrices are stored apart. */
export interface FilePieces {
  readonly pieces: readonly FilePiece[];
}

/** Where a weight's parts are: in files, or given here. */
export interface WeightSource {
  readonly format: FormatName;
  readonly shape: readonly number[];
  /** Held [in, out] (GPT-2's Conv1D). */
  readonly transposed: boolean;
  readonly parts: Readonly<Record<string, FilePlace | FilePieces | PartData>>;
}

/**
 * A feed: a tensor sent along, or one that the worker holds (`put`, or kept from an earlier run), its shape
 * where memory is counted.
 */
export type Feed = HostTensor | { readonly held: string; readonly shape?: readonly number[] };

/** How a weight that is fed is stored: part of what a program is compiled for. */
export interface WeightType {
  readonly format: FormatName;
  readonly transposed: boolean;
}

/** A program to be compiled, unless one of this name is. */
export interface NamedProgram {
  readonly name: string;
  readonly program: Program;
  /**
   * Its weights' types where they are fed, by its own names for them; absent: bound by the model's names,
   * mapped where they can be.
   */
  readonly fed: Readonly<Record<string, WeightType>> | undefined;
  /**
   * It has no gradient: of weights in 8 or 4 bits, its session may lay out copies as its kernels read them
   * fastest.
   */
  readonly forwardOnly: boolean;
}

/** One run of a program within a schedule. Values are named; feeds of the run are values from the start. */
export interface Step {
  readonly program: string;
  /** The program's inputs -> values. */
  readonly inputs: Readonly<Record<string, string>>;
  /** The program's names of fed weights -> the model's. */
  readonly weights: Readonly<Record<string, string>>;
  /** The program's outputs -> values. A value that is there already grows by the output (gradients). */
  readonly outputs: Readonly<Record<string, string>>;
  /** Values that no later step reads. */
  readonly free: readonly string[];
}

/** Programs that run one after another on values that stay in the worker: what a plan makes of a graph. */
export interface Schedule {
  readonly programs: readonly NamedProgram[];
  readonly steps: readonly Step[];
  /** Names of results -> values. */
  readonly results: Readonly<Record<string, string>>;
  /**
   * Where the run's feeds tell the dimensions that programs ask for, as values "dim:NAME" of shape [NAME, 0].
   */
  readonly dims: Readonly<Record<string, DimSource<string>>>;
}

/** Part of a row of held caches [rows, heads, length, dim] that becomes part of another. */
export interface CacheRow {
  /** Which of the sources; its row there. */
  readonly source: number;
  readonly row: number;
  /** Entries along the length: from where, how many, and where to. */
  readonly from: number;
  readonly count: number;
  readonly to: number;
}

/**
 * Lays rows of held caches into new ones, a row after another; what no part fills is 0. The new caches may
 * have the name of a source, which they replace. Where some rows are undefined, these stay as they are in the
 * caches of that name, whose other rows are replaced.
 */
export interface Arrangement {
  readonly rows: readonly (CacheRow | undefined)[];
  /** Entries of the new caches along the length. */
  readonly length: number;
  /** Name of each new cache, and of its sources. */
  readonly caches: readonly { readonly name: string; readonly sources: readonly string[] }[];
}

/** An entry of a held cache, along its length. */
export interface HeldEntry {
  readonly held: string;
  readonly entry: number;
}

export interface RunRequest {
  readonly schedule: string;
  readonly feeds: Readonly<Record<string, Feed>>;
  /** Results that stay in the worker under the names given here, for later feeds. */
  readonly keep: Readonly<Record<string, string>>;
  /**
   * Results [rows, heads, n, dim] that are written into caches held under the names given here, from an entry
   * on.
   */
  readonly entries: Readonly<Record<string, HeldEntry>>;
  /** Results to be laid one after another into one flat array, in this order. */
  readonly pack: readonly string[];
  /**
   * Bytes that arenas of all sessions may take: beyond, sessions that other schedules ran on are released.
   */
  readonly arenas: number;
}

export interface RunResult {
  readonly outputs: Readonly<Record<string, HostTensor>>;
  readonly packed: Float32Array;
}

export interface EngineOptions {
  readonly threads: number;
  readonly device: string;
  /**
   * f16 and bf16 weights that are not fed block by block: brought to f32 once (faster), or cast in every step
   * (smaller).
   */
  readonly resident: "f32" | "stored";
  /**
   * Bytes of weights fed block by block that stay in memory; the rest is read ahead of its use in every step.
   * Default: all stay.
   */
  readonly keep: number | undefined;
}

export type Request =
  | { readonly kind: "devices" }
  | { readonly kind: "largest int8" }
  | { readonly kind: "version" }
  | { readonly kind: "device"; readonly device: string }
  | { readonly kind: "close" }
  | {
      readonly kind: "open";
      readonly options: EngineOptions;
      readonly weights: ReadonlyMap<string, WeightSource>;
    }
  | { readonly kind: "weights"; readonly changed: ReadonlyMap<string, WeightSource | undefined> }
  | { readonly kind: "compile"; readonly name: string; readonly schedule: Schedule }
  | { readonly kind: "put"; readonly tensors: Readonly<Record<string, HostTensor>> }
  | { readonly kind: "release"; readonly names: readonly string[] }
  | { readonly kind: "arrange"; readonly arrangement: Arrangement }
  | { readonly kind: "run"; readonly request: RunRequest };

/**
 * What requests are answered by: devices by their names, the version by a text, the largest int8 by a number,
 * a run by its results.
 */
export type Answer = readonly string[] | string | Int8Limit | RunResult | undefined;

/** The largest int8 weight whose products a machine's kernels add up rightly. */
export type Int8Limit = 127 | 63;

/** The parts of a PeftError, which itself does not survive the way between threads. */
export interface Fault {
  readonly code: ErrorCode;
  readonly what: string;
  readonly why: string;
  readonly fix: string;
  /** More memory would have kept it away. */
  readonly isOutOfMemory?: boolean;
}

export type Reply =
  | { readonly id: number; readonly ok: true; readonly value: Answer }
  | { readonly id: number; readonly ok: false; readonly fault: Fault };
