import type { ErrorCode } from "../errors.js";
import type { DType } from "../graph/ops.js";
import type { Program } from "./program.js";

/** A tensor at the border to the worker. i64 and bool travel as Int32Array and are widened there. */
export interface HostTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

/** Where a weight's bytes are. */
export interface WeightSource {
  readonly dtype: "f32" | "f16" | "bf16";
  readonly shape: readonly number[];
  /** Bytes of a file, or given here. */
  readonly file: { readonly path: string; readonly offset: number } | undefined;
  readonly data: Float32Array | undefined;
}

/** A feed: a tensor sent along, or one that the worker holds (`put`, or kept from an earlier run). */
export type Feed = HostTensor | { readonly held: string };

export interface RunRequest {
  readonly program: string;
  readonly feeds: Readonly<Record<string, Feed>>;
  /** Outputs that stay in the worker under the names given here, for later feeds. */
  readonly keep: Readonly<Record<string, string>>;
  /** Outputs to be laid one after another into one flat array, in this order. */
  readonly pack: readonly string[];
}

export interface RunResult {
  readonly outputs: Readonly<Record<string, HostTensor>>;
  readonly packed: Float32Array;
}

export interface EngineOptions {
  readonly threads: number;
  readonly device: string;
  /** f16 and bf16 weights: held as f32 (faster), or as stored and cast in every step (smaller). */
  readonly resident: "f32" | "stored";
}

export type Request =
  | { readonly kind: "devices" }
  | { readonly kind: "device"; readonly device: string }
  | { readonly kind: "close" }
  | {
      readonly kind: "open";
      readonly options: EngineOptions;
      readonly weights: ReadonlyMap<string, WeightSource>;
    }
  | { readonly kind: "weights"; readonly changed: ReadonlyMap<string, WeightSource | undefined> }
  | { readonly kind: "compile"; readonly name: string; readonly program: Program }
  | { readonly kind: "drop"; readonly name: string }
  | { readonly kind: "put"; readonly tensors: Readonly<Record<string, HostTensor>> }
  | { readonly kind: "release"; readonly names: readonly string[] }
  | { readonly kind: "run"; readonly request: RunRequest };

/** The parts of a PeftError, which itself does not survive the way between threads. */
export interface Fault {
  readonly code: ErrorCode;
  readonly what: string;
  readonly why: string;
  readonly fix: string;
}

export type Reply =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly fault: Fault };
