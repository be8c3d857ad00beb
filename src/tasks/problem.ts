import type { ProblemType } from "../data/batch.js";
import type { ModelConfig, Pooling } from "../models/model.js";

/** The fields of a config that say what a model learns: classes of sequences, vectors, letters. */
export interface ModelProblem extends Pick<ModelConfig, "ctc" | "framesOf"> {
  readonly numLabels: number;
  readonly problemType?: ProblemType | undefined;
  /** How texts become vectors. @default the mean of their tokens */
  readonly pooling?: Pooling | undefined;
}

/** What a classifier of sequences learns, as transformers decides it; undefined: the labels' form says. */
export function problemOf({ problemType, numLabels }: ModelProblem): ProblemType | undefined {
  return problemType ?? (numLabels === 1 ? "regression" : undefined);
}
