import { tokenCls as data } from "../data/tasks/token_cls.js";
import { tokens } from "../losses/tokens.js";
import { tokenScores } from "./class_scores.js";
import { tokenLabels } from "./head.js";
import { predictEntities } from "./predict_entities.js";
import type { Task } from "./task.js";

/** A label for each word. */
export const tokenCls: Task<"TOKEN_CLS"> = {
  ...data,
  title: "token classification",
  classEnds: ["ForTokenClassification"],
  impliedBy: ["tokens", "document"],
  labels: "token",
  head: tokenLabels,
  labelForm: () => "ids",
  loss: () => tokens,
  scores: () => tokenScores,
  predict: predictEntities,
  packs: true,
  generates: false,
};
