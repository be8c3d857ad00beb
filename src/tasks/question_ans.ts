import { questionAns as data } from "../data/tasks/question_ans.js";
import { spans } from "../losses/spans.js";
import { spanEnds } from "./head.js";
import { predictSpans } from "./predict_spans.js";
import type { Task } from "./task.js";
import { spanScores } from "./text_scores.js";

/** The part of a context that answers a question. */
export const questionAns: Task<"QUESTION_ANS"> = {
  ...data,
  title: "question answering",
  classEnds: ["ForQuestionAnswering"],
  impliedBy: ["question"],
  labels: "span",
  head: spanEnds,
  labelForm: () => "ids",
  loss: () => spans,
  scores: () => spanScores,
  predict: predictSpans,
  packs: false,
  generates: false,
};
