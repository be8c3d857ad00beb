import type { NamesOf } from "../arguments.js";
import { PeftError } from "../errors.js";
import type { GenerationConfig, GenerationSource } from "../generate/config.js";
import type { Rollout } from "../generate/rollouts.js";
import type { Parameter, Parameters } from "../graph/parameters.js";
import type { AdapterConfig } from "../methods/method.js";
import type { ModelConfig, TaskType } from "../models/model.js";
import type { LogProbsOptions } from "../plan/log_probs.js";
import type { BatchSizes } from "../plan/memory/batch.js";
import type { RunPurpose } from "../plan/memory/estimate.js";
import { type BackwardOptions, type PassOptions, passNames } from "../plan/requests.js";
import type { LogProbs } from "../run/log_probs.js";
import type { BackwardResult, ForwardResult } from "../run/passes.js";
import type { Runtime } from "../run/runtime.js";
import type { Inputs } from "../trace/feeds.js";
import type { Words } from "../words.js";
import type { GenerateInput, GenerateSettings } from "./generate.js";
import type { RolloutPrompts, RolloutSettings } from "./rollouts.js";
import type { TrainedBy } from "./trained_by.js";

/** What a forward and backward pass gave. */
export interface StepResult {
  /** The mean loss of this batch. */
  readonly loss: number;
  /** What it was divided by: labelled tokens, or rows. */
  readonly count: number;
  /** What the loss says besides of this batch, where it says something: its metrics. */
  readonly metrics?: Readonly<Record<string, number>>;
}

export function meanLoss({ sum, count, ...more }: BackwardResult): StepResult {
  return { loss: sum / count, count, ...more };
}

/** Options of a forward and backward pass. */
export type TrainOptions = Omit<BackwardOptions, "seed" | "step" | "keys">;
export const trainNames: NamesOf<TrainOptions> = { ...passNames, training: { also: ["train"] }, neftune: {} };

/** What a base model is known by, and what it says of memory. */
export interface TrainableBase {
  /** The Hub id or folder that it was loaded from. */
  readonly name: string;
  /** Where its checkpoint and tokenizer lie. */
  readonly folder: string;
  /** config.json */
  readonly configJson: Readonly<Record<string, unknown>>;
  /** Seed of dropout. */
  readonly seed: number;
  /** Settings of generation_config.json. */
  readonly generationConfig: GenerationConfig;
  /** The file that these are from. */
  readonly generationSource: GenerationSource;
  /** Hears what to know of the model. */
  readonly warn: (message: Words) => void;
  /** @internal */
  readonly runtime: Pick<Runtime, "memoryEstimate" | "memoryLimit" | "memoryFree" | "compute">;
}

/**
 * What training asks of a model. A PreTrainedModel trains all of its weights, a PeftModel its active adapters
 * on a frozen base.
 */
export interface TrainableModel<T extends TaskType = TaskType> {
  readonly taskType: T;
  /** config.json as the architecture reads it. */
  readonly config: ModelConfig;
  /** The model under the adapters; itself, where it has none. */
  readonly base: TrainableBase;
  /** Of the adapter that trains, the first one of several; undefined: all weights train. */
  readonly adapterConfig: AdapterConfig | undefined;
  /** Its method, in words, with the learning rate that is usual for it. */
  readonly trainedBy: TrainedBy;
  /** Kinds of places where that adapter stands, by the last part of their paths: q_proj, v_proj. */
  readonly adapterTargets: readonly string[];
  /** Tokens that a sample may have; Infinity: the model has no table of positions. */
  readonly maxPositions: number;
  /**
   * Names of the classes that its head tells apart, in the order of their ids; undefined: nobody named them.
   */
  readonly classNames: readonly string[] | undefined;
  /** Names them, where nobody did: what is saved from then on says so. */
  nameClasses(names: readonly string[]): void;
  /** The tensors that train, with their gradient. Their starting values are there after `ready()`. */
  trainableParameters(): Parameters;
  /** Waits until starting values are there. Throws what went wrong in reading them. */
  ready(): Promise<void>;
  /** Parameters that train, and all. */
  getNbTrainableParameters(): { trainable: number; total: number };
  /**
   * Chooses how runs with batches of these sizes stay within the budget: of training, or as `purpose` says.
   * Throws "option" where nothing fits training.
   */
  planMemory(sizes: BatchSizes, purpose?: RunPurpose): Promise<void>;
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
  /** Logits, and the loss where the batch has labels. Dropout is off. */
  forward(batch: Inputs<T>, options?: PassOptions): Promise<ForwardResult>;
  /** The loss alone, without dropout. */
  lossOf(batch: Inputs<T>, options?: PassOptions): Promise<StepResult>;
  /** log p of a batch's labels, without dropout. */
  logProbs(batch: Inputs<T>, options?: LogProbsOptions): Promise<LogProbs>;
  /** Adds the gradient of the loss to `trainableParameters()`. */
  forwardBackward(batch: Inputs<T>, options?: TrainOptions): Promise<StepResult>;
  /** Continues prompts: [rows, tokens]. */
  generate(input: GenerateInput, settings?: GenerateSettings): Promise<number[][]>;
  /** Samples answers to prompts, all answers to one side by side. */
  rollouts(prompts: RolloutPrompts, settings?: RolloutSettings): Promise<Rollout[]>;
  /** Writes what was trained, as Python's libraries read it. */
  savePretrained(folder: string): Promise<void>;
}

export function nothingTrains(): PeftError {
  return new PeftError("training", {
    what: "forwardBackward was called without an adapter.",
    why: "the base is frozen: there is nothing that a gradient could be added to.",
    fix: 'call it outside of disableAdapter(), and name one: forwardBackward(batch, { adapters: ["default"] }).',
  });
}
