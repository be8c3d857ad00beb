import type { Loss } from "../losses/loss.js";
import type { ModelConfig } from "../models/model.js";

/** What labels say: a token, the token after it, an answer's tokens, a row, the ends of a span; or there are none. */
export type LabelPlace = "token" | "next token" | "target" | "row" | "span" | "none";

/** What the numbers of a head are: a score per word, per label, for start and end; or there is no head. */
export type HeadKind = "vocabulary" | "labels" | "ends" | "none";

/** What the metrics of an evaluation are computed from. */
export type ScoreKind = "classes" | "manyLabels" | "numbers" | "spans" | "answers" | "none";

/** What a model is for: all that shared code asks of it. What rows, samples and batches it has, src/data says. */
export interface Task {
  /** What transformers' classes for it end in; the first is meant for new ones. */
  readonly classEnds: readonly string[];
  readonly labels: LabelPlace;
  readonly head: HeadKind;
  /** Modules that train whole beside an adapter. Reference: peft/peft_model.py */
  readonly headModules: readonly string[];
  /** The loss that transformers computes; undefined: none of its own. `labels`: their form in the batch. */
  readonly loss: (config: ModelConfig, labels: "ids" | "floats") => Loss | undefined;
  /** `problem`: what the rows' labels are for, where the config does not say. */
  readonly scores: (config: ModelProblem, problem?: ModelConfig["problemType"]) => ScoreKind;
  /** Padding can be left out of everything but attention, where the loss reads none. */
  readonly packs: boolean;
  /** It answers in text. */
  readonly generates: boolean;
}

/** The fields of a config that say what a sequence classifier learns. */
export interface ModelProblem {
  readonly numLabels: number;
  readonly problemType?: ModelConfig["problemType"];
}

/** What a sequence classifier learns, as transformers decides it; undefined: the labels' form says. */
export function problemOf({ problemType, numLabels }: ModelProblem): ModelConfig["problemType"] {
  return problemType ?? (numLabels === 1 ? "regression" : undefined);
}
