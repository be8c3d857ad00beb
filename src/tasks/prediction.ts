import type { Box } from "../data/boxes.js";
import type { ModelProblem } from "./problem.js";

/** A label and how likely it is; of a regression the number itself. */
export interface LabelScore {
  readonly label: string;
  readonly score: number;
}

/** A part of a text that a label is about. `start`, `end`: UTF-16 units of the text. */
export interface Entity extends LabelScore {
  readonly text: string;
  readonly start: number;
  readonly end: number;
  /** Of a document: where its words stand, in the unit in which their boxes were given. */
  readonly box?: Box;
}

/** An answer in a context. An empty one at 0 means that there is none. */
export interface SpanAnswer {
  readonly answer: string;
  readonly score: number;
  readonly start: number;
  readonly end: number;
}

/** What a model's numbers mean for one text. */
export type Predicted =
  | { readonly kind: "labels"; readonly labels: readonly LabelScore[] }
  | { readonly kind: "entities"; readonly entities: readonly Entity[] }
  | { readonly kind: "spans"; readonly answers: readonly SpanAnswer[] }
  | { readonly kind: "vector"; readonly vector: Float32Array };

/** A token of a text, without padding. */
export interface TextToken {
  /** Where it stands in the text (of a pair: in the second one), UTF-16 units. */
  readonly start: number;
  readonly end: number;
  /** It is no part of a text: [CLS], [SEP]. */
  readonly isSpecial: boolean;
  /** It goes on with the word of the token before it. */
  readonly isSubword: boolean;
  /** It belongs to the text that answers are looked for in. @default true */
  readonly isContext?: boolean;
  /** It is [CLS], which stands for "there is no answer". @default false */
  readonly isClass?: boolean;
}

/** What a model said of one text, and what is known of it. */
export interface Said {
  /** [outputs] of a text, or [tokens, outputs] of its tokens, padding and virtual tokens left out. */
  readonly logits: Float32Array;
  readonly outputs: number;
  readonly config: ModelProblem;
  nameOf(id: number): string;
  readonly text: string;
  readonly tokens: readonly TextToken[];
}

/** How predictions are made, where there is a choice. */
export interface PredictOptions {
  /** How many labels or answers, the best first. @default all labels, one answer */
  readonly topK?: number | undefined;
  /** How scores are made of logits. @default by what the head has learnt */
  readonly scores?: "softmax" | "sigmoid" | "none" | undefined;
  /** How tokens become entities, as transformers names it. @default "simple" */
  readonly aggregation?: "none" | "simple" | "first" | "average" | "max" | undefined;
  /** Labels that are no entities. @default ["O"] */
  readonly ignoreLabels?: readonly string[] | undefined;
  /** Tokens that an answer has at most. @default 15 */
  readonly maxAnswerTokens?: number | undefined;
  /** There may be no answer. @default false */
  readonly noAnswer?: boolean | undefined;
  /** Which tokens make a text's vector. @default "mean" */
  readonly pooling?: "mean" | "cls" | "last" | undefined;
  /** Divides a vector by its length. @default false */
  readonly normalize?: boolean | undefined;
}

/** exp(y - max) / sum */
export function softmax(y: Float32Array): Float32Array {
  const most = y.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const powers = y.map((x) => Math.exp(x - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((x) => x / sum);
}

/** 1 / (1 + exp(-y)) */
export function sigmoid(y: Float32Array): Float32Array {
  return y.map((x) => 1 / (1 + Math.exp(-x)));
}
