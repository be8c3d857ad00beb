import { audioCls as data } from "../data/tasks/audio_cls.js";
import { soundLabels } from "./head.js";
import { predictLabels } from "./predict_labels.js";
import { seqCls } from "./seq_cls.js";
import type { Task } from "./task.js";

/** A label, several, or a number for each clip. */
export const audioCls: Task<"AUDIO_CLS"> = {
  ...data,
  title: "audio classification",
  classEnds: [
    "ForAudioClassification",
    ...["Wav2Vec2", "Hubert", "WavLM"].map((model) => `${model}ForSequenceClassification`),
  ],
  byClass: true,
  impliedBy: ["sound"],
  labels: "row",
  head: soundLabels,
  labelForm: seqCls.labelForm,
  loss: seqCls.loss,
  scores: seqCls.scores,
  predict: predictLabels,
  packs: true,
  generates: false,
};
