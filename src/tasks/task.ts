import type { ProblemType, TaskType } from "../data/batch.js";
import type { RowKind } from "../data/row.js";
import type { DataTask } from "../data/tasks/task.js";
import type { Loss } from "../losses/loss.js";
import type { ModelConfig } from "../models/model.js";
import type { Head } from "./head.js";
import type { Predicted, PredictOptions, Said } from "./prediction.js";
import type { ModelProblem } from "./problem.js";
import type { Scores } from "./scores.js";

/**
 * What labels say: a token, the token after it, an answer's tokens, a row, the ends of a span; or there are
 * none.
 */
export type LabelPlace = "token" | "next token" | "target" | "row" | "span" | "none";

/** Labels are class or token ids, or numbers. */
export type LabelForm = "ids" | "floats";

/** What a model is for: all that shared code asks of it. */
export interface Task<T extends TaskType = TaskType> extends DataTask<T> {
  /** What it is called in words. @default its name */
  readonly title?: string;
  /** What transformers' classes for it end in; the first is meant for new ones. */
  readonly classEnds: readonly string[];
  /**
   * PEFT has no task type for it: an adapter's file names the model's class in its place (auto_mapping).
   * @default false
   */
  readonly byClass?: boolean;
  /** Kinds of rows that say that it is meant, where nothing else does. */
  readonly impliedBy: readonly RowKind[];
  readonly labels: LabelPlace;
  readonly head: Head;
  /** Heads beside it, which a loss may read by their names. */
  readonly heads?: Readonly<Record<string, Head>>;
  /** The form that labels must have; undefined: that of the batch at hand. */
  labelForm(config: ModelConfig): LabelForm | undefined;
  /**
   * The loss that is computed where none is given; undefined: none of its own. `labels`: their form in the
   * batch.
   */
  loss(config: ModelConfig, labels: LabelForm): Loss | undefined;
  /** What it does with pairs of a better and a worse row. @default it takes none */
  readonly pairs?: { readonly loss: Loss; readonly scores: Scores };
  /** `problem`: what the rows' labels are for, where the config does not say. */
  scores(config: ModelProblem, problem?: ProblemType): Scores;
  /**
   * What its numbers mean for one text.
   * @default it answers in text: the tokens that it generates are the prediction
   */
  predict?(said: Said, options?: PredictOptions): Predicted;
  /** Padding can be left out of everything but attention, where the loss reads none. */
  readonly packs: boolean;
  /** It answers in text. */
  readonly generates: boolean;
}
