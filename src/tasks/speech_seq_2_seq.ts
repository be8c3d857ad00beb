import { speechSeq2Seq as data } from "../data/tasks/speech_seq_2_seq.js";
import { spokenWord } from "./head.js";
import { seq2SeqLM } from "./seq_2_seq_lm.js";
import { speechScores } from "./speech_scores.js";
import type { Task } from "./task.js";

/** The text of what an encoder heard, which a decoder writes. */
export const speechSeq2Seq: Task<"SPEECH_SEQ_2_SEQ"> = {
  ...data,
  title: "speech to text",
  classEnds: ["ForSpeechSeq2Seq", "WhisperForConditionalGeneration"],
  byClass: true,
  impliedBy: ["speech"],
  labels: "target",
  head: spokenWord,
  labelForm: seq2SeqLM.labelForm,
  loss: seq2SeqLM.loss,
  scores: () => speechScores,
  packs: true,
  generates: true,
};
