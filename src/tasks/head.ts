import { axes, mulDims } from "../graph/dims.js";
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
  write: ({ stack, decoder, heads }) =>
    stack === undefined || decoder !== undefined ? undefined : heads.vocabulary,
  outputs: (config) => config.vocabSize,
  isPerLabel: false,
  modules: [],
};

/** A score for each word of the vocabulary, of a decoder behind an encoder. */
export const targetWord: Head = {
  ...nextWord,
  write: (a) => (a.decoder === undefined || mediumOf(a) === "sound" ? undefined : a.heads.vocabulary),
};

/** The same, of an encoder that reads sound. */
export const spokenWord: Head = {
  ...nextWord,
  write: (a) => (a.decoder !== undefined && mediumOf(a) === "sound" ? a.heads.vocabulary : undefined),
};

/** Inputs that say what a model's rows are, where it reads no tokens. */
const MEDIA: Readonly<Record<string, "pictures" | "sound">> = {
  pixelValues: "pictures",
  inputFeatures: "sound",
  inputValues: "sound",
};

/** What the rows are that a model labels. */
function mediumOf({ inputs, labelsPictures }: Architecture): "pictures" | "sound" | "text" {
  if (labelsPictures === true) return "pictures";
  const all = inputs === undefined ? [] : Object.values(inputs);
  if (all.some(({ role }) => role === "tokens")) return "text";
  return all.map(({ name }) => MEDIA[name]).find((medium) => medium !== undefined) ?? "text";
}

/** A score for each label of a row. */
export const rowLabels: Head = {
  write: (a) => (mediumOf(a) === "text" ? a.heads.rowLabels : undefined),
  outputs: (config) => config.numLabels,
  isPerLabel: true,
  modules: ["classifier", "score"],
};

/** The name of the head beside `rowLabels` that reads it at every token. */
export const EVERY_TOKEN = "every token";

/** The same for each token, [batch, total, labels], as if its row ended there: a critic's values. */
export const rowLabelsOfTokens: Head = {
  ...rowLabels,
  write: ({ heads: { rowLabels } }) =>
    rowLabels &&
    ((w, c, hidden) => {
      const [batch, total, width] = axes(hidden.shape, 3);
      const tokens = mulDims(batch, total);
      const ends = w.g.expand(w.g.scalar(1, "i64"), [tokens, 1]);
      const labels = rowLabels(w, c, w.g.reshape(hidden, [tokens, 1, width]), ends);
      return w.g.reshape(labels, [batch, total, c.numLabels]);
    }),
};

/** The same, of a clip. */
export const soundLabels: Head = {
  ...rowLabels,
  write: (a) => (mediumOf(a) === "sound" ? a.heads.rowLabels : undefined),
  modules: ["classifier", "projector"],
};

/** The same, of a picture. */
export const pictureLabels: Head = {
  ...rowLabels,
  write: (a) => (mediumOf(a) === "pictures" ? a.heads.rowLabels : undefined),
  modules: ["classifier"],
};

/** A score for each label of a clip's frame. */
export const frameLabels: Head = {
  ...rowLabels,
  write: (a) => (mediumOf(a) === "sound" ? a.heads.tokenLabels : undefined),
  modules: ["classifier"],
};

/** A score for each letter of a clip's frame. */
export const letters: Head = {
  write: (a) => (mediumOf(a) === "sound" && a.decoder === undefined ? a.heads.vocabulary : undefined),
  outputs: (config) => config.vocabSize,
  isPerLabel: false,
  modules: ["lm_head"],
};

/** A score for each label of a token. */
export const tokenLabels: Head = {
  ...rowLabels,
  write: (a) => (mediumOf(a) === "text" ? a.heads.tokenLabels : undefined),
};

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

/** A score for each picture with each text of a batch. */
export const pairScores: Head = {
  write: ({ heads }) => heads.pairs,
  outputs: () => 1,
  isPerLabel: false,
  modules: [],
};
