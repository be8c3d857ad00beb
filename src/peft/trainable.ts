import type { NamesOf } from "../arguments.js";
import { PeftError } from "../errors.js";
import type { GenerationConfig } from "../generate/config.js";
import type { Parameter, Parameters } from "../graph/parameters.js";
import type { AdapterConfig } from "../methods/method.js";
import type { ModelConfig, TaskType } from "../models/model.js";
import type { BatchSizes } from "../plan/memory/batch.js";
import { type BackwardOptions, type PassOptions, passNames } from "../plan/requests.js";
import type { ForwardResult } from "../run/passes.js";
import type { Runtime } from "../run/runtime.js";
import type { Inputs } from "../trace/feeds.js";
import type { GenerateInput, GenerateSettings } from "./generate.js";

/** What a forward and backward pass gave. */
export interface StepResult {
  /** The mean loss of this batch. */
  readonly loss: number;
  /** What it was divided by: labelled tokens, or rows. */
  readonly count: number;
}

export type TrainOptions = Omit<BackwardOptions, "seed" | "step">;
export const trainNames: NamesOf<TrainOptions> = { ...passNames, training: { also: ["train"] } };

/** What a base model is known by, and what it says of memory. */
export interface TrainableBase {
  readonly name: string;
  /** Where its checkpoint and tokenizer lie. */
  readonly folder: string;
  /** config.json */
  readonly configJson: Readonly<Record<string, unknown>>;
  readonly seed: number;
  readonly generationConfig: GenerationConfig;
  readonly runtime: Pick<Runtime, "memoryEstimate" | "memoryLimit" | "memoryFree">;
}

/** What training asks of a model. A PreTrainedModel trains all of its weights, a PeftModel its active adapters on a frozen base. */
export interface TrainableModel<T extends TaskType = TaskType> {
  readonly taskType: T;
  readonly config: ModelConfig;
  readonly base: TrainableBase;
  /** Of the adapter that trains, the first one of several; undefined: all weights train. */
  readonly adapterConfig: AdapterConfig | undefined;
  /** Tokens that a sample may have; Infinity: the model has no table of positions. */
  readonly maxPositions: number;
  /** The tensors that train, with their gradient. Their starting values are there after `ready()`. */
  trainableParameters(): Parameters;
  ready(): Promise<void>;
  getNbTrainableParameters(): { trainable: number; total: number };
  /** Chooses how steps with batches of these sizes run within the budget. Throws "option" where nothing fits. */
  planMemory(sizes: BatchSizes): Promise<void>;
  /** Says how many optimizer steps the run takes. Throws "adapter-config" for too few. */
  planSteps(totalSteps: number): void;
  /** To be called after the optimizer's step number `globalStep` (from 1). */
  updateAndAllocate(globalStep: number): void;
  /** What `updateAndAllocate` remembers: a part of checkpoints. */
  allocationState(): readonly Parameter[];
  /** Puts beside a checkpoint's tensors what makes it usable by itself. */
  saveInCheckpoint(folder: string): Promise<void>;
  /** Runs something on the model without what is trained: a reference for losses that compare with it. */
  disableAdapter<R>(run: () => Promise<R>): Promise<R>;
  forward(batch: Inputs<T>, options?: PassOptions): Promise<ForwardResult>;
  lossOf(batch: Inputs<T>, options?: PassOptions): Promise<StepResult>;
  forwardBackward(batch: Inputs<T>, options?: TrainOptions): Promise<StepResult>;
  generate(input: GenerateInput, settings?: GenerateSettings): Promise<number[][]>;
  savePretrained(folder: string): Promise<void>;
}

export function nothingTrains(): PeftError {
  return new PeftError("training", {
    what: "forwardBackward was called without an adapter.",
    why: "the base is frozen: there is nothing that a gradient could be added to.",
    fix: 'call it outside of disableAdapter(), and name one: forwardBackward(batch, { adapters: ["default"] }).',
  });
}
