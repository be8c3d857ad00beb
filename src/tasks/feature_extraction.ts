import { featureExtraction as data } from "../data/tasks/feature_extraction.js";
import { cosent } from "../losses/cosent.js";
import { multipleNegativesRanking } from "../losses/multiple_negatives_ranking.js";
import { hiddenStates } from "./head.js";
import { predictVector } from "./predict_vector.js";
import type { Task } from "./task.js";
import { vectorScores } from "./vector_scores.js";

/** The hidden states of a model without a head, and vectors of texts. */
export const featureExtraction: Task<"FEATURE_EXTRACTION"> = {
  ...data,
  title: "embeddings",
  classEnds: ["Model"],
  impliedBy: ["similarity"],
  labels: "none",
  head: hiddenStates,
  labelForm: () => undefined,
  loss: (_config, labels) => (labels === "floats" ? cosent : multipleNegativesRanking),
  scores: vectorScores,
  predict: predictVector,
  packs: false,
  generates: false,
};
