import type { OptionRow } from "../options.js";
import type { GenerationValues } from "./generation_types.js";

/** Beyond what anybody wants: a number in a model's file must not take all time and memory. */
const MOST_ROWS = 1000;
const MOST_TOKENS = 2 ** 20;

const tokens = (min: number): Pick<OptionRow, "kind" | "min" | "max" | "unit"> => ({
  ...{ kind: "whole", min, max: MOST_TOKENS, unit: "tokens" },
});

/**
 * Settings of generation: types, checks, flags and help come from these rows. Defaults are the model's own,
 * then these.
 */
export const generationTable: { readonly [K in keyof GenerationValues]: OptionRow } = {
  maxLength: {
    ...tokens(1),
    otherwise: "20 new tokens",
    means: "longest whole sequence, prompt included; a number of new tokens decides over it",
  },
  maxNewTokens: { ...tokens(1), otherwise: "20", also: ["max_tokens"], means: "longest answer" },
  minLength: {
    ...tokens(0),
    byDefault: 0,
    means: "length, prompt included, before which no answer ends; a number of new tokens decides over it",
  },
  minNewTokens: { ...tokens(0), otherwise: "none", means: "length before which no answer ends" },
  doSample: {
    kind: "flag",
    byDefault: false,
    also: ["sample"],
    means: "draw tokens by their probability instead of taking the likeliest",
  },
  numBeams: {
    kind: "whole",
    min: 1,
    max: MOST_ROWS,
    byDefault: 1,
    also: ["beams", "beam_size"],
    means: "answers that are followed side by side, of which the likeliest is kept (beam search)",
  },
  numReturnSequences: {
    kind: "whole",
    min: 1,
    max: MOST_ROWS,
    byDefault: 1,
    also: ["n"],
    means: "answers to each prompt; several need sampling or beams",
  },
  temperature: {
    kind: "number",
    byDefault: 1,
    also: ["temp"],
    means: "when sampling, what logits are divided by: lower is surer, higher more varied",
  },
  topK: {
    kind: "whole",
    min: 0,
    byDefault: 50,
    unit: "tokens",
    means: "when sampling, draw from so many likeliest tokens; 0: from all",
  },
  topP: {
    kind: "number",
    byDefault: 1,
    means: "when sampling, draw from the likeliest tokens that together have this probability",
  },
  minP: {
    kind: "number",
    otherwise: "off",
    means: "when sampling, leave out tokens below this share of the likeliest one's probability",
  },
  typicalP: {
    kind: "number",
    byDefault: 1,
    means: "when sampling, draw from the most typical tokens that together have this probability",
  },
  repetitionPenalty: {
    kind: "number",
    above: 0,
    byDefault: 1,
    means: "makes tokens that were there already less likely where it is above 1",
  },
  noRepeatNgramSize: {
    kind: "whole",
    min: 0,
    byDefault: 0,
    unit: "tokens",
    means: "length of runs of tokens that may not come twice; 0: any may",
  },
  lengthPenalty: {
    kind: "number",
    byDefault: 1,
    means: "of beams: scores are divided by length to this power, so above 0 favours long answers",
  },
  earlyStopping: {
    kind: "flag",
    choices: ["never"],
    form: "true|false|never",
    byDefault: false,
    means:
      "of beams: true stops when as many are finished as are kept, false by a guess, never when none can get better",
  },
  eosTokenId: {
    kind: "oneOrMoreIds",
    otherwise: "none",
    means: "ids of tokens that end an answer",
  },
  padTokenId: { kind: "whole", otherwise: "the first end token", means: "id of what fills up finished rows" },
  bosTokenId: { kind: "whole", min: 0, otherwise: "none", means: "id of the token that begins a text" },
  decoderStartTokenId: {
    kind: "whole",
    min: 0,
    otherwise: "the token that begins a text",
    means: "id of the token with which an encoder-decoder begins its answer",
  },
  forcedBosTokenId: {
    kind: "whole",
    min: 0,
    otherwise: "none",
    means: "id of the token that is written first, whatever the model says: a target language",
  },
  forcedEosTokenId: {
    kind: "oneOrMoreIds",
    otherwise: "none",
    means: "ids of the token that is written last where the longest length is reached",
  },
  suppressTokens: { kind: "ids", otherwise: "none", means: "ids of tokens that are never written" },
  beginSuppressTokens: {
    kind: "ids",
    otherwise: "none",
    means: "ids of tokens that are not written first",
  },
  stopStrings: {
    kind: "texts",
    otherwise: "none",
    also: ["stop", "stop_sequences"],
    means: "texts after which an answer ends",
  },
  badWordsIds: {
    kind: "idLists",
    otherwise: "none",
    means: "words that are never written, each as the list of its tokens' ids",
  },
};
