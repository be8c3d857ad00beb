import type { TaskType } from "../data/batch.js";
import type { ClassReport } from "../tasks/class_report.js";
import type { Words } from "../words.js";

/** What a training run says. `step` counts optimizer steps from 1; losses are means per labelled token. */
export type TrainEvent =
  | StartEvent
  | StepEvent
  | EvaluationEvent
  | CheckpointEvent
  | SampleEvent
  | WarningEvent
  | EndEvent;

/** The run begins, or goes on. */
export interface StartEvent {
  readonly type: "start";
  /** Steps already done, by the checkpoint that this run resumes; else 0. */
  readonly step: number;
  readonly totalSteps: number;
  readonly epochs: number;
  readonly rows: number;
  readonly trainableParameters: number;
  readonly allParameters: number;
  /** What the run will do. */
  readonly header: RunHeader;
  /** When and where it began. */
  readonly origin: RunOrigin;
}

/** When, where and with what a run began. */
export interface RunOrigin {
  /** Its own: another one each time that a run begins or goes on. */
  readonly runId: string;
  /** 2026-11-28T12:00:00.000Z */
  readonly time: string;
  /** Of the base's config.json and weights, in hexadecimal: another model has another. */
  readonly modelHash: string;
  readonly host: string;
  readonly processor: string;
  readonly system: string;
  readonly versions: Readonly<Record<string, string>>;
}

/** What a run will do, known before its first step. */
export interface RunHeader {
  /** The base's Hub id or folder. */
  readonly model: string;
  readonly task: TaskType;
  /** Rows of each class (words, where words are tagged), in the order of the classes' ids. */
  readonly classes?: readonly { readonly label: string; readonly rows: number }[];
  /** Rows to learn. */
  readonly rows: number;
  /** Rows to evaluate on. */
  readonly validationRows: number;
  /** Whether these were taken away from the rows to learn (`validation: "auto"`). */
  readonly isValidationSplit: boolean;
  /** Tokens of all rows; of a stream, those of its first ones. */
  readonly tokens?: number;
  /** Those of them that are learnt; labelled rows, where a row has one label. */
  readonly learntTokens?: number;
  /** In tokens, and how many rows were cut. */
  readonly lengths?: {
    readonly median: number;
    readonly longest: number;
    readonly cut: number;
    /** Where rows are cut. @default nowhere */
    readonly limit?: number;
    /** [least length of a bar, rows] */
    readonly histogram: readonly (readonly [number, number])[];
  };
  /** The adapter's peft_type; "all weights" without an adapter. */
  readonly method: string;
  readonly rank?: number;
  /** Kinds of places where it stands: q_proj, v_proj. */
  readonly targets: readonly string[];
  /** At its peak. */
  readonly lr: number;
  /** Where that comes from, where nobody said it. */
  readonly lrFrom?: string;
  readonly schedule: string;
  /** Rows of a batch. */
  readonly batchSize: number;
  /** Batches of an optimizer step. */
  readonly gradientAccumulationSteps: number;
  /** How the memory of a step is laid out: fused, checkpointed, streamed. */
  readonly memoryPlan?: string;
  /** Bytes that it is expected to take. */
  readonly expectedBytes?: number;
  readonly threads: number;
  readonly device: string;
}

/** An optimizer step was taken. */
export interface StepEvent {
  readonly type: "step";
  readonly step: number;
  readonly totalSteps: number;
  /** With its fraction: 1.5 is the middle of the second epoch. */
  readonly epoch: number;
  /** The mean loss of this step's batches, per labelled token (or row). */
  readonly loss: number;
  readonly lr: number;
  /** Global norm of the mean gradient, before clipping. */
  readonly gradNorm: number;
  /** What the loss says besides: the mean over this step's batches. */
  readonly metrics?: Readonly<Record<string, number>>;
  /** Real tokens, not padding, since the start. */
  readonly tokens: number;
  readonly tokensPerSecond: number;
  /** Bytes that the process takes now: its own memory, and what it has touched of mapped weights. */
  readonly memoryBytes: number;
  readonly secondsLeft: number;
}

/** The validation rows were evaluated. */
export interface EvaluationEvent {
  readonly type: "evaluation";
  readonly step: number;
  readonly loss: number;
  /** Those that the task has: accuracy, f1, exactMatch, ... */
  readonly metrics: Readonly<Record<string, number>>;
  /** Class by class, where the task tells classes. */
  readonly classes?: ClassReport;
}

/** How far an evaluation has come: no event of the run, `progress` hears it. */
export interface EvaluationProgress {
  readonly type: "progress";
  /** Rows are evaluated, or answered by a model that writes texts. */
  readonly what: "evaluation" | "answers";
  readonly done: number;
  readonly total: number;
}

/** A checkpoint was written. */
export interface CheckpointEvent {
  readonly type: "checkpoint";
  readonly step: number;
  /** Its folder. */
  readonly path: string;
  /** The best so far by the chosen metric. */
  readonly best: boolean;
}

/** What the model answers now. */
export interface SampleEvent {
  readonly type: "sample";
  readonly step: number;
  readonly prompt: string;
  /** The same turn by turn, where it is a chat. */
  readonly turns?: readonly { readonly role: string; readonly content: string }[];
  readonly output: string;
  /** The answer was cut: the model had more to say than it may. */
  readonly isCut?: boolean;
  readonly expected?: string;
  /** What each reward said of it; null: it has no opinion. */
  readonly rewards?: Readonly<Record<string, number | null>>;
}

/** What to know of this run. */
export interface WarningEvent {
  readonly type: "warning";
  /** Where it names options, as words: `${message}` names them as code does. */
  readonly message: string | Words;
}

/** Why a run ended: all steps done, the metric stopped improving, or the caller's AbortSignal. */
export type EndReason = "finished" | "stopped-early" | "aborted";

/** The run is over. */
export interface EndEvent {
  readonly type: "end";
  readonly reason: EndReason;
  readonly step: number;
  /** Mean over the last epoch. */
  readonly loss: number;
  readonly tokens: number;
  readonly seconds: number;
  /** The most that was taken, counted as `memoryBytes`. */
  readonly peakMemoryBytes: number;
  /** What the plan that was chosen was expected to take of the same, with the longest batch. */
  readonly estimatedMemory?: { readonly bytes: number; readonly plan: string };
  /** The evaluation of the weights that stay, where there was one. */
  readonly evaluation?: EvaluationEvent;
  readonly best?: { readonly step: number; readonly metric: string; readonly value: number };
  /** The newest checkpoint: where the run, if it was aborted, goes on with resume: true. */
  readonly checkpoint?: string;
}

/** The event of one type: `TrainEventOf<"step">`. */
export type TrainEventOf<T extends TrainEvent["type"]> = Extract<TrainEvent, { type: T }>;
