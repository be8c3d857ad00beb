import { audioFrameCls as data } from "../data/tasks/audio_frame_cls.js";
import { tokens } from "../losses/tokens.js";
import { frameLabels } from "./head.js";
import { noScores } from "./scores.js";
import type { Task } from "./task.js";
import { tokenCls } from "./token_cls.js";

/** A class for each frame of a clip. */
export const audioFrameCls: Task<"AUDIO_FRAME_CLS"> = {
  ...data,
  title: "classification of frames",
  classEnds: ["ForAudioFrameClassification"],
  byClass: true,
  impliedBy: [],
  labels: "token",
  head: frameLabels,
  labelForm: tokenCls.labelForm,
  loss: () => tokens,
  scores: () => noScores,
  predict: ({ logits }) => ({ kind: "vector", vector: logits }),
  packs: false,
  generates: false,
};
