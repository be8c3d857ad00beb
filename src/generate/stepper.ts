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

/**
 * Makes the Stepper of one call. Every prompt is repeated `expand` times, interleaved:
 * row = prompt * expand + copy.
 */
export type MakeStepper = (expand: number) => Promise<Stepper>;

/** What decoding needs of a tokenizer: text of ids, special tokens included unless told otherwise. */
export interface TokenDecoder {
  decode(ids: number[], options?: { skipSpecialTokens?: boolean }): string;
}
