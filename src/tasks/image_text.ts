import { imageText as data } from "../data/tasks/image_text.js";
import { pictureTexts } from "../losses/picture_texts.js";
import { pairScores } from "./head.js";
import { predictVector } from "./predict_vector.js";
import type { Task } from "./task.js";
import { vectorScores } from "./vector_scores.js";

/** Which text of a batch belongs to which of its pictures: CLIP, SigLIP. */
export const imageText: Task<"IMAGE_TEXT"> = {
  ...data,
  title: "pictures and texts",
  classEnds: ["CLIPModel", "SiglipModel"],
  byClass: true,
  impliedBy: [],
  labels: "none",
  head: pairScores,
  labelForm: () => undefined,
  loss: () => pictureTexts,
  scores: vectorScores,
  predict: predictVector,
  packs: false,
  generates: false,
};
