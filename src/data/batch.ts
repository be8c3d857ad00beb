import type { ShippedTask, TaskType } from "../task.js";

/**
 * What a step is fed with: padded ids in flat arrays, one type per task, so that a batch of the wrong task
 * does not compile.
 */

export type { ProblemType, TaskType } from "../task.js";

/** Labels with this value are not learnt. */
export const ignoreIndex = -100;

/** Whole numbers of a batch: token ids, masks, labels. */
export interface Ids {
  readonly data: Int32Array;
  readonly shape: readonly [rows: number, columns: number];
}

/** Numbers of a batch: labels that are no classes. */
export interface Floats {
  readonly data: Float32Array;
  readonly shape: readonly [rows: number, columns: number];
}

/** Numbers of a batch for a custom loss: the first axis is the rows. */
export interface BatchColumn {
  /** Row-major. */
  readonly data: Float32Array | Int32Array;
  /** [batch, ...] */
  readonly shape: readonly number[];
}

/** `rows` holds each sample's place in its data set; lengths are those before padding. */
export interface BatchInputs {
  readonly inputIds: Ids; // [batch, seq]
  /** 0 is padding; where documents are packed, the number of each token's, else 1. */
  readonly attentionMask: Ids; // [batch, seq]
  /** Where a token stands in its document. @default counted from the row's first place on */
  readonly positionIds?: Ids; // [batch, seq]
  readonly tokenTypeIds?: Ids; // [batch, seq]
  readonly lengths: Int32Array; // [batch]
  readonly rows: Int32Array; // [batch]
  /** What a custom loss reads beside the task's own columns. */
  readonly columns?: Readonly<Record<string, BatchColumn>>;
}

export interface CausalLMBatch extends BatchInputs {
  readonly task: "CAUSAL_LM";
  readonly labels: Ids; // [batch, seq], not shifted
}

export interface Seq2SeqBatch extends BatchInputs {
  readonly task: "SEQ_2_SEQ_LM";
  readonly labels: Ids; // [batch, targetSeq]
}

/** Rows with one class each. */
export interface SingleLabelBatch extends BatchInputs {
  readonly task: "SEQ_CLS";
  readonly problemType: "single_label_classification";
  readonly labels: Ids; // [batch, 1]
}

/** Rows with marks of several classes, or with numbers to be met. */
export interface FloatLabelBatch extends BatchInputs {
  readonly task: "SEQ_CLS";
  readonly problemType: "multi_label_classification" | "regression";
  readonly labels: Floats; // [batch, labels]
  /** Of pairs: which rows of the batch are the better and the worse one, of labels 1 and 0. */
  readonly pairs?: Ids; // [pairs, 2]
  /** By how much the one is better; 0 where nobody said. */
  readonly margins?: Floats; // [pairs, 1]
}

/** Rows to be classified. */
export type SequenceClassificationBatch = SingleLabelBatch | FloatLabelBatch;

export interface TokenClassificationBatch extends BatchInputs {
  readonly task: "TOKEN_CLS";
  readonly labels: Ids; // [batch, seq]
}

export interface QuestionAnsweringBatch extends BatchInputs {
  readonly task: "QUESTION_ANS";
  readonly startPositions: Ids; // [batch, 1]
  readonly endPositions: Ids; // [batch, 1]
}

/**
 * Texts, or rows of several: [samples, texts] says which of the batch's texts are a row's; -1: it has no
 * more.
 */
export interface FeatureExtractionBatch extends BatchInputs {
  readonly task: "FEATURE_EXTRACTION";
  readonly texts?: Ids; // [samples, texts]
  /** How near the two texts of each row are. */
  readonly labels?: Floats; // [samples, 1]
}

/** Clips with the texts that are spoken in them. */
export interface SpeechBatch extends BatchInputs {
  readonly task: "SPEECH_SEQ_2_SEQ";
  readonly labels: Ids; // [batch, target]
}

/** Clips with one class each, or with marks of several. */
export interface AudioClassificationBatch extends BatchInputs {
  readonly task: "AUDIO_CLS";
  readonly labels: Ids | Floats; // [batch, 1] or [batch, labels]
}

/** Pictures to be classified. */
export interface ImageClassificationBatch extends BatchInputs {
  readonly task: "IMAGE_CLS";
  readonly labels: Ids | Floats; // [batch, 1] or [batch, labels]
}

/** Clips with a class in each of their frames. */
export interface AudioFrameBatch extends BatchInputs {
  readonly task: "AUDIO_FRAME_CLS";
  readonly labels: Ids; // [batch, frames]
}

/** Clips with the letters that are spoken in them. */
export interface CtcBatch extends BatchInputs {
  readonly task: "CTC";
  readonly labels: Ids; // [batch, letters]
}

/** Pictures (the column pixelValues), each with the text that belongs to it. */
export interface ImageTextBatch extends BatchInputs {
  readonly task: "IMAGE_TEXT";
}

/** The batches of the tasks that ship, by task. */
export interface BatchOf {
  CAUSAL_LM: CausalLMBatch;
  SEQ_2_SEQ_LM: Seq2SeqBatch;
  SEQ_CLS: SequenceClassificationBatch;
  TOKEN_CLS: TokenClassificationBatch;
  QUESTION_ANS: QuestionAnsweringBatch;
  FEATURE_EXTRACTION: FeatureExtractionBatch;
  SPEECH_SEQ_2_SEQ: SpeechBatch;
  AUDIO_CLS: AudioClassificationBatch;
  AUDIO_FRAME_CLS: AudioFrameBatch;
  CTC: CtcBatch;
  IMAGE_CLS: ImageClassificationBatch;
  IMAGE_TEXT: ImageTextBatch;
}

/** A batch of a task that was registered from outside; what else its loss reads is among the `columns`. */
export interface CustomBatch<T extends string> extends BatchInputs {
  readonly task: T;
  readonly labels?: Ids | Floats;
}

/** `Batch<"SEQ_CLS">` is that task's batch; `Batch` alone is any of them, told apart by `task`. */
export type Batch<T extends TaskType = TaskType> = T extends ShippedTask ? BatchOf[T] : CustomBatch<T>;
