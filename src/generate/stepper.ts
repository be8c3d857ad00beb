/**
 * One running batch of sequences on the model; caches of keys and values live behind it.
 * The rows it returns belong to the caller, who writes into them: a Stepper must not keep or reuse the array.
 */
export interface Stepper {
  readonly vocabSize: number;
  /**
   * Runs the prompt (decoders: prompt ids [rows, seq] with mask; encoder-decoders: the encoder, then the
   * start tokens). Returns the scores of the last position, [rows, vocab].
   */
  start(): Promise<Float32Array>;
  /**
   * Feeds one token per row; `order` (beams) says which former row each row continues. Returns [rows, vocab].
   */
  next(tokens: Int32Array, order?: Int32Array): Promise<Float32Array>;
  /** Frees the caches. */
  end(): Promise<void>;
}

/** Prompts that were read together. */
export interface PromptReads {
  /** Scores behind each of them, [prompts, vocab]. */
  readonly scores: Float32Array;
}

/** A row that goes on: a former one, or a prompt that was read. */
export type RowSource<R extends PromptReads = PromptReads> =
  | { readonly row: number }
  | { readonly read: R; readonly index: number };

/** A running batch whose rows come and go. */
export interface RowStepper<R extends PromptReads = PromptReads> extends Pick<Stepper, "vocabSize" | "end"> {
  /** Prompts of several lengths can be read together. */
  readonly padsPrompts: boolean;
  /** Reads prompts by their numbers, which rows may then go on from until they are forgotten. */
  read(prompts: readonly number[]): Promise<R>;
  forget(reads: R): Promise<void>;
  /** Feeds one token to each row; former rows that are no source of another are given up. */
  continue(tokens: Int32Array, sources?: readonly RowSource<R>[]): Promise<Float32Array>;
}

/**
 * Makes the Stepper of one call. Every prompt is repeated `expand` times, interleaved:
 * row = prompt * expand + copy.
 */
export type MakeStepper = (expand: number) => Promise<Stepper>;

/** What decoding needs of a tokenizer: text of ids, special tokens included unless told otherwise. */
export interface TokenDecoder {
  decode(ids: number[], options?: { skipSpecialTokens?: boolean }): string;
}
