import type { ShippedTask, TaskType } from "../task.js";
import type { ProblemType } from "./batch.js";
import type { Box } from "./boxes.js";

/** A box for each token, in thousandths of the page, and the one that padding has. */
export interface TokenBoxes {
  readonly data: Int32Array; // [seq, 4]
  readonly padding: Box;
}

/** One text as token ids. */
export type Sequence = Pick<SampleInputs, "inputIds" | "tokenTypeIds">;

/**
 * One row as token ids, before padding. `row` is its place in the data set, `at` where it stood in the file.
 */
export interface SampleInputs {
  readonly row: number;
  readonly at: string;
  readonly inputIds: Int32Array; // [seq]
  readonly tokenTypeIds?: Int32Array; // [seq]
  /**
   * Texts beside the first one: a row of several texts is as many rows of the model's input.
   * @default none
   */
  readonly others?: readonly Sequence[];
  /** Where several documents are packed: the number of each token's, from 1 on. @default one document */
  readonly documents?: Int32Array; // [seq]
  /** Where each token stands on its page. @default the text has no page */
  readonly boxes?: TokenBoxes;
  /** What the row refers to: columns of its batch are made of it when that is. */
  readonly media?: unknown;
  /** Numbers for a custom loss. */
  readonly columns?: Readonly<Record<string, number | readonly number[]>>;
}

export interface CausalLMSample extends SampleInputs {
  readonly task: "CAUSAL_LM";
  readonly labels: Int32Array; // [seq]
}

export interface Seq2SeqSample extends SampleInputs {
  readonly task: "SEQ_2_SEQ_LM";
  readonly labels: Int32Array; // [targetSeq]
}

/**
 * `labels`: one class id, or one number (regression), or a 0 or 1 per class; none where the row's second text
 * is worse than the first, by `margin`.
 */
export interface SequenceClassificationSample extends SampleInputs {
  readonly task: "SEQ_CLS";
  readonly problemType: ProblemType;
  readonly labels: Float32Array; // [1] or [labels]
  readonly margin?: number;
}

export interface TokenClassificationSample extends SampleInputs {
  readonly task: "TOKEN_CLS";
  readonly labels: Int32Array; // [seq]
}

/** Positions of the first and the last token of the answer; 0 and 0 where there is none. */
export interface QuestionAnsweringSample extends SampleInputs {
  readonly task: "QUESTION_ANS";
  readonly start: number;
  readonly end: number;
}

/** `score`: how near the row's two texts are. */
export interface FeatureExtractionSample extends SampleInputs {
  readonly task: "FEATURE_EXTRACTION";
  readonly score?: number;
}

/** A clip and the tokens of what is spoken in it. */
export interface SpeechSample extends SampleInputs {
  readonly task: "SPEECH_SEQ_2_SEQ";
  readonly labels: Int32Array; // [target]
  /** As the row names it. */
  readonly language?: string;
  readonly isTranslated?: boolean;
}

/** A clip; `labels`: one class id, or one number, or a 0 or 1 per class. */
export interface AudioClassificationSample extends SampleInputs {
  readonly task: "AUDIO_CLS";
  readonly problemType: ProblemType;
  readonly labels: Float32Array; // [1] or [labels]
}

/** A picture; `labels`: one class id, or one number, or a 0 or 1 per class. */
export interface ImageClassificationSample extends SampleInputs {
  readonly task: "IMAGE_CLS";
  readonly problemType: ProblemType;
  readonly labels: Float32Array; // [1] or [labels]
}

/** A clip and a class for each of its frames. */
export interface AudioFrameSample extends SampleInputs {
  readonly task: "AUDIO_FRAME_CLS";
  readonly labels: Int32Array; // [frames]
}

/** A clip and the letters that are spoken in it. */
export interface CtcSample extends SampleInputs {
  readonly task: "CTC";
  readonly labels: Int32Array; // [letters]
}

/** A picture and its text. */
export interface ImageTextSample extends SampleInputs {
  readonly task: "IMAGE_TEXT";
}

/** The samples of the tasks that ship, by task. */
export interface SampleOf {
  CAUSAL_LM: CausalLMSample;
  SEQ_2_SEQ_LM: Seq2SeqSample;
  SEQ_CLS: SequenceClassificationSample;
  TOKEN_CLS: TokenClassificationSample;
  QUESTION_ANS: QuestionAnsweringSample;
  FEATURE_EXTRACTION: FeatureExtractionSample;
  SPEECH_SEQ_2_SEQ: SpeechSample;
  AUDIO_CLS: AudioClassificationSample;
  AUDIO_FRAME_CLS: AudioFrameSample;
  CTC: CtcSample;
  IMAGE_CLS: ImageClassificationSample;
  IMAGE_TEXT: ImageTextSample;
}

/** All texts of a sample. */
export function sequencesOf(sample: Omit<SampleInputs, "row" | "at">): readonly Sequence[] {
  return sample.others === undefined ? [sample] : [sample, ...sample.others];
}

/** Tokens of a sample's longest text. */
export function lengthOf(sample: SampleInputs): number {
  return sequencesOf(sample).reduce((most, { inputIds }) => Math.max(most, inputIds.length), 0);
}

/** A sample of a task that was registered from outside. */
export interface CustomSample<T extends string> extends SampleInputs {
  readonly task: T;
  readonly labels?: Int32Array | Float32Array;
}

/** `task` stands here once more so that the compiler can infer T from a sample. */
export type Sample<T extends TaskType = TaskType> = (T extends ShippedTask
  ? SampleOf[T]
  : CustomSample<T>) & {
  readonly task: T;
};
