import type { NamesOf } from "../arguments.js";
import type { Box } from "../data/boxes.js";
import type { SampleInputs } from "../data/sample.js";
import type { TrainableModel } from "../peft/trainable.js";
import type { TaskType } from "../task.js";
import type { TextToken } from "../tasks/prediction.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import type { Words } from "../words.js";

/** A page that is asked about. */
export interface DocumentInput {
  readonly words: readonly string[];
  /** A box for each word: in thousandths of the page, or in any unit where width and height are given. */
  readonly boxes: readonly Box[];
  readonly width?: number | undefined;
  readonly height?: number | undefined;
}

/** A model that is asked, with what is known of it. */
export interface Opened {
  readonly model: TrainableModel;
  readonly tokenizer: Tokenizer;
  /** Tokens that a text may have; Infinity: as many as memory holds. */
  readonly maxLength: number;
  /** Folders in which more may be said of the model: the adapter's, the base's. */
  readonly folders: readonly string[];
  /** The name of a class. */
  nameOf(id: number): string;
  /** Says something once, however often it is met. */
  warnOnce(message: Words): void;
}

/** One row of a batch: a text, or a window of a long one. */
export interface Part extends SampleInputs {
  readonly text: string;
  readonly tokens: readonly TextToken[];
  /** The page that it is of. @default it is a text */
  readonly page?: DocumentInput;
}

/** How any pipeline is called. */
export interface CallOptions {
  /** Texts that are computed together. @default 8 */
  readonly batchSize?: number | undefined;
  /** Stops at the next batch: the call throws "aborted". */
  readonly signal?: AbortSignal | undefined;
  /** Hears how many inputs are answered. */
  readonly progress?: ((done: number) => void) | undefined;
}

export const callNames: NamesOf<CallOptions> = { batchSize: {}, signal: {}, progress: {} };

/** What a pipeline asks of a model, and what it makes of that. `Result`: what is computed for a part. */
export interface PipelineDefinition<Input, Output, Options, Result = unknown> {
  /** As transformers names it, and other names that it has there. */
  readonly names: readonly [string, ...string[]];
  readonly task: TaskType;
  /** Options of its own, which a call may set, or all calls together where the pipeline is made. */
  readonly options: NamesOf<Options>;
  /** What an input is, in words. */
  readonly wants: string;
  isInput(value: unknown): value is Input;
  /** Options that the model's files settle. @default none */
  defaults?(opened: Opened): Promise<Options>;
  /** An input as rows of batches. */
  parts(input: Input, opened: Opened, options: Options): Part[];
  /** A result for each part of a batch. */
  compute(opened: Opened, parts: readonly Part[], options: Options, signal?: AbortSignal): Promise<Result[]>;
  output(opened: Opened, parts: readonly Part[], results: readonly Result[], options: Options): Output;
  /** The text of an answer while it is made. @default the answer is no text */
  stream?(opened: Opened, input: Input, options: Options, signal?: AbortSignal): AsyncGenerator<string, void>;
  /** Batches that are sorted by length together. */
  readonly window: number;
}
