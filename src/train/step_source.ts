import type { Parameter } from "../graph/parameters.js";
import type { StepResult } from "../peft/trainable.js";
import type { BatchSizes } from "../plan/memory/batch.js";
import type { Inputs } from "../trace/feeds.js";
import type { TrainEvent } from "./events.js";

/**
 * Where a run's steps come from: rows in their order, pairs, rollouts. It knows how far the run has come, so
 * that a run which goes on sees the batches that one without interruption would.
 */
export interface StepSource {
  /** What one epoch goes through: rows, pairs, prompts. */
  readonly size: number;
  /** Positions of one epoch; rows count them in batches. */
  readonly epochSize: number;
  /** Optimizer steps of one epoch. */
  readonly stepsPerEpoch: number;
  /** Sizes of the largest batch that may come. */
  readonly sizes: BatchSizes;
  /** What must be the same when a run is resumed. */
  readonly identity: Readonly<Record<string, number>>;
  /** Epochs done. */
  readonly epoch: number;
  /** How much of the running epoch is consumed; 0 at its beginning. */
  readonly position: number;
  /** Goes to where a checkpoint was. */
  seek(epoch: number, position: number): void;
  /** Where rows stood that could not be read and were left out. @default none are */
  readonly skipped?: ReadonlySet<string>;
  /** The batches of the next step. The position moves when all of them were taken. */
  next(): AsyncIterable<Inputs>;
  /** The batch that takes the most memory; undefined: there is nothing to learn in it. */
  longestBatch(): Promise<Inputs | undefined>;
  /** Where a batch comes from, for errors: "in the batch of row 1, row 2". */
  whereIs(batch: Inputs): string;
  /** Whether dropout is on in its steps. @default true */
  readonly dropout?: boolean;
  /** What to know of its rows: cut, left out. */
  readonly warnings?: readonly string[];
  /** Gets ready before the first step, and after `restore`: what a reference says of its rows. */
  open?(signal: AbortSignal | undefined): Promise<void>;
  /** Numbers of the step that was taken, beside what the loss says. */
  metrics?(): Readonly<Record<string, number>>;
  /** What is to be said behind a step: samples, warnings. */
  says?(): readonly TrainEvent[];
  /** Hears what a batch of it gave. */
  hear?(batch: Inputs, result: StepResult): void;
  /** Numbers that a checkpoint keeps for it beside the position. */
  state?(): readonly Parameter[];
  /** Takes them back; what a checkpoint does not have is not there. */
  restore?(state: readonly Parameter[]): void;
  /** The loss and its metrics on rows that are not learnt. @default it has none */
  evaluate?(signal: AbortSignal | undefined): Promise<SourceEvaluation>;
  /** How many rows that are. */
  readonly validationSize?: number;
}

/** How good the model is on a source's rows to evaluate on. */
export interface SourceEvaluation {
  readonly loss: number;
  readonly metrics: Readonly<Record<string, number>>;
}
