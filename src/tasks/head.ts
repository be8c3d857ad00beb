import type { Architecture, ModelConfig, PooledHead } from "../models/model.js";

/**
 * What a model says over its hidden states: one of the architecture's own heads, or a head that a task brings
 * along.
 */
export interface Head {
  /** What writes it; undefined: this architecture has no such head. */
  write(architecture: Architecture): PooledHead<ModelConfig> | undefined;
  /** Numbers that it says at a place. */
  outputs(config: ModelConfig): number;
  /** `outputs` follows from the number of labels, which a config or an adapter says. */
  readonly isPerLabel: boolean;
  /**
   * Modules of it that train whole beside an adapter, and that are made new where the checkpoint lacks them.
   * Reference: peft/peft_model.py
   */
  readonly modules: readonly string[];
  /** It belongs to the bare model, whose weights have no prefix then. @default false */
  readonly isBare?: boolean;
}

/** A score for each word of the vocabulary, where one stack reads and goes on. */
export const nextWord: Head = {
  write: ({ stack, heads }) => (stack === undefined ? undefined : heads.vocabulary),
  outputs: (config) => config.vocabSize,
  isPerLabel: false,
  modules: [],
};

/** A score for each word of the vocabulary, of a decoder behind an encoder. */
export const targetWord: Head = {
  ...nextWord,
  write: ({ decoder, heads }) => (decoder === undefined ? undefined : heads.vocabulary),
};

/** A score for each label of a row. */
export const rowLabels: Head = {
  write: ({ heads }) => heads.rowLabels,
  outputs: (config) => config.numLabels,
  isPerLabel: true,
  modules: ["classifier", "score"],
};

/** A score for each label of a token. */
export const tokenLabels: Head = { ...rowLabels, write: ({ heads }) => heads.tokenLabels };

/** Two scores of a token: that an answer starts there, that it ends there. */
export const spanEnds: Head = {
  write: ({ heads }) => heads.spanEnds,
  outputs: () => 2,
  isPerLabel: false,
  modules: ["qa_outputs"],
};

/** The hidden states themselves. */
export const hiddenStates: Head = {
  write: ({ heads }) => heads.hidden,
  outputs: (config) => config.hiddenSize,
  isPerLabel: false,
  modules: [],
  isBare: true,
};
