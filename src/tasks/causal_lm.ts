import { causalLM as data } from "../data/tasks/causal_lm.js";
import { tokens } from "../losses/tokens.js";
import { nextWord } from "./head.js";
import type { Task } from "./task.js";
import { answerScores } from "./text_scores.js";

/** The text that goes on. */
export const causalLM: Task<"CAUSAL_LM"> = {
  ...data,
  title: "text generation",
  classEnds: ["ForCausalLM", "LMHeadModel"],
  impliedBy: ["prompt", "chat", "text"],
  labels: "next token",
  head: nextWord,
  labelForm: () => "ids",
  loss: () => tokens,
  scores: () => answerScores,
  packs: true,
  generates: true,
};
