import { featureExtraction as data } from "../data/tasks/feature_extraction.js";
import { hiddenStates } from "./head.js";
import { predictVector } from "./predict_vector.js";
import { noScores } from "./scores.js";
import type { Task } from "./task.js";

/** The hidden states of a model without a head. */
export const featureExtraction: Task<"FEATURE_EXTRACTION"> = {
  ...data,
  classEnds: ["Model"],
  impliedBy: [],
  labels: "none",
  head: hiddenStates,
  labelForm: () => undefined,
  loss: () => undefined,
  scores: () => noScores,
  predict: predictVector,
  packs: false,
  generates: false,
};
