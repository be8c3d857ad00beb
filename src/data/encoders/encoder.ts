import type { TaskType } from "../batch.js";
import type { Row, RowKind } from "../row.js";
import type { Sample, SampleInputs } from "../sample.js";
import type { TokenizerLike } from "../types.js";

export interface EncodeContext {
  readonly tokenizer: TokenizerLike;
  readonly maxLength: number;
  readonly maxTargetLength: number;
  readonly truncationSide: "left" | "right";
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
}

/** An encoded row and where it came from. */
export interface Outcome<T extends TaskType> {
  readonly row: number;
  readonly at: string;
  readonly encoded: Encoded<T>;
}

/** How rows become samples of one task. `encode` gives words instead where a row is wrong. */
export interface Encoder<T extends TaskType> {
  readonly accepts: readonly RowKind[];
  encode(row: Row, context: EncodeContext): Encoded<T> | string;
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
  const truncated = encoded.inputIds[0]!.length > maxLength;
  if (truncated) encoded = tokenizer(text, { ...options, truncation: true, maxLength });
  return { inputs: inputsOf(encoded.inputIds[0]!, encoded.tokenTypeIds?.[0]), truncated };
}

export function inputsOf(
  ids: readonly number[],
  types?: readonly number[],
): Omit<SampleInputs, "row" | "at"> {
  const inputIds = Int32Array.from(ids);
  return types === undefined ? { inputIds } : { inputIds, tokenTypeIds: Int32Array.from(types) };
}
