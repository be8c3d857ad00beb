import { ctc as data } from "../data/tasks/ctc.js";
import { ctc as loss } from "../losses/ctc.js";
import { letters } from "./head.js";
import { letterScores } from "./letter_scores.js";
import type { Task } from "./task.js";

/** The letters that are spoken in a clip, read off its frames. */
export const ctc: Task<"CTC"> = {
  ...data,
  title: "letters of speech",
  classEnds: ["ForCTC"],
  byClass: true,
  impliedBy: [],
  labels: "target",
  head: letters,
  labelForm: () => "ids",
  loss: () => loss,
  scores: letterScores,
  predict: ({ logits }) => ({ kind: "vector", vector: logits }),
  packs: false,
  generates: false,
};
