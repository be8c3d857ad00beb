import { seq2SeqLM as data } from "../data/tasks/seq_2_seq_lm.js";
import { tokens } from "../losses/tokens.js";
import { targetWord } from "./head.js";
import type { Task } from "./task.js";
import { answerScores } from "./text_scores.js";

/** The text that a decoder writes of what an encoder read. */
export const seq2SeqLM: Task<"SEQ_2_SEQ_LM"> = {
  ...data,
  title: "text to text",
  classEnds: ["ForConditionalGeneration", "ForSeq2SeqLM", "MTModel"],
  impliedBy: [],
  labels: "target",
  head: targetWord,
  labelForm: () => "ids",
  loss: () => tokens,
  scores: () => answerScores,
  packs: true,
  generates: true,
};
