import { at } from "../../present.js";
import type { Tokenizer } from "../../tokenizers/tokenizer.js";
import { type Batch, type BatchInputs, type Ids, ignoreIndex, type TaskType } from "../batch.js";
import type { DocumentTokens } from "../document_tokens.js";
import { type CollateOptions, pad } from "../padding.js";
import type { Paint, PreviewPiece } from "../pieces.js";
import type { DocumentRow, Row, RowKind } from "../row.js";
import type { Sample, SampleInputs } from "../sample.js";
import type { TokenizerLike } from "../types.js";

/** What encoding a row needs besides the row. */
export interface EncodeContext {
  readonly tokenizer: TokenizerLike;
  readonly maxLength: number;
  readonly maxTargetLength: number;
  readonly truncationSide: "left" | "right";
  readonly packing: boolean;
  /** Class names for rows that carry their label as text. */
  readonly labels: readonly string[] | undefined;
  /** Hears, once each, what rows hold and the model does not see as it stands there. */
  readonly notes: Set<string>;
  /** What is known of the chat template: whether it writes `tools`, `messages.name`, ... */
  readonly written: Map<string, boolean>;
}

/** A sample without its place, and what became of it on the way. */
export interface Encoded<T extends TaskType> {
  readonly fields: Omit<Sample<T>, "row" | "at" | "task">;
  readonly truncated: boolean;
  readonly labelsCut: boolean;
  /** Number of learnt tokens (rows, where a row has one label); undefined where the task has no labels. */
  readonly learnt: number | undefined;
  /** Whether the chat template wrote it. */
  readonly isChat?: boolean;
  /** It is longer than a sample may be, and nothing of it may be cut: the row is left out. */
  readonly tooLong?: boolean;
}

/** An encoded row and where it came from. */
export interface Outcome<T extends TaskType> {
  readonly row: number;
  readonly at: string;
  readonly encoded: Encoded<T>;
}

/** What a sample asks a model that answers in text, and what it should answer: token ids. */
export interface Question {
  readonly ids: readonly number[];
  readonly expected: readonly number[];
}

/** What a batch has beside its inputs. */
export type BatchLabels<T extends TaskType> = Labels<Batch<T>>;
type Labels<B> = B extends unknown ? Omit<B, keyof BatchInputs | "task"> : never;

/** A task's rows, samples and batches: all that shared code of this folder asks of it. */
export interface DataTask<T extends TaskType = TaskType> {
  readonly name: T;
  /** Kinds of rows that it learns from. */
  readonly accepts: readonly RowKind[];
  /** Kinds as which a table is read for it, the likelier first. */
  readonly tables: readonly RowKind[];
  /**
   * What a row is whose text is written as a template. @default "prompt" where a target is given, else "text"
   */
  readonly templated?: RowKind;
  /** Whether rows have text. @default true */
  readonly readsText?: false;
  /** Makes a vocabulary of rows, for models that have none. @default the model must have one */
  vocabulary?(rows: readonly Row[]): Promise<Tokenizer>;
  /** A row as token ids with labels. It gives words instead where the row is wrong. */
  encode(row: Row, context: EncodeContext): Encoded<T> | string;
  /** The labels of a batch, beside its padded inputs. */
  collate(samples: readonly Sample<T>[], inputs: BatchInputs, options: CollateOptions): BatchLabels<T>;
  /** A sample as the model sees it, with what is learnt marked. */
  preview(sample: Sample<T>, paint: Paint): PreviewPiece[];
  /** What is wrong with a sample's labels for a head of so many. @default labels are no classes */
  labelFault?(sample: Sample<T>, numLabels: number): string | undefined;
  /** The tokens that a decoder writes beside those that the encoder reads. @default there is one stack */
  target?(sample: Sample<T>): Int32Array;
  /** How many tokens have a label, where the head is computed only there. @default it is computed for all */
  labelled?(sample: Sample<T>): number;
  /**
   * A prompt and its answer; undefined for a sample that asks nothing. @default it does not answer in text
   */
  question?(sample: Sample<T>): Question | undefined;
}

/** One text, or a pair, cut by the tokenizer so that its special tokens stay. */
export function encodeText(
  { tokenizer }: EncodeContext,
  text: string,
  maxLength: number,
  pair?: string,
): { inputs: Omit<SampleInputs, "row" | "at">; truncated: boolean } {
  const options = pair === undefined ? {} : { textPair: pair };
  let encoded = tokenizer(text, options);
  const truncated = at(encoded.inputIds, 0).length > maxLength;
  if (truncated) encoded = tokenizer(text, { ...options, truncation: true, maxLength });
  return { inputs: inputsOf(at(encoded.inputIds, 0), encoded.tokenTypeIds?.[0]), truncated };
}

export function inputsOf(
  ids: readonly number[],
  types?: readonly number[],
): Omit<SampleInputs, "row" | "at"> {
  const inputIds = Int32Array.from(ids);
  return types === undefined ? { inputIds } : { inputIds, tokenTypeIds: Int32Array.from(types) };
}

/** A page's tokens with their boxes, and its picture, which models that see are given. */
export function documentInputs(
  { ids, types, boxes }: DocumentTokens,
  { image }: Pick<DocumentRow, "image">,
): Omit<SampleInputs, "row" | "at"> {
  return { ...inputsOf(ids, types), boxes, ...(image === undefined ? {} : { media: image }) };
}

/** Labels of every token, padded as the tokens are. */
export function padLabels(
  samples: readonly { readonly labels: Int32Array }[],
  options: Omit<CollateOptions, "padTokenId">,
): Ids {
  return pad(
    samples.map(({ labels }) => labels),
    ignoreIndex,
    options,
  );
}

/** The labels that are learnt. */
export function learntOf(labels: Int32Array): number[] {
  return [...labels].filter((label) => label !== ignoreIndex);
}

/** Says which class a head of so many labels does not have. */
export function classFault(labels: Int32Array | Float32Array, numLabels: number): string | undefined {
  const most = Math.max(0, ...labels);
  return most < numLabels ? undefined : `class ${most}`;
}
