import { PeftError } from "../../errors.js";
import { Registry } from "../../registry.js";
import type { TaskType } from "../batch.js";
import { audioCls } from "./audio_cls.js";
import { audioFrameCls } from "./audio_frame_cls.js";
import { causalLM } from "./causal_lm.js";
import { ctc } from "./ctc.js";
import { featureExtraction } from "./feature_extraction.js";
import { imageCls } from "./image_cls.js";
import { imageText } from "./image_text.js";
import { questionAns } from "./question_ans.js";
import { seq2SeqLM } from "./seq_2_seq_lm.js";
import { seqCls } from "./seq_cls.js";
import { speechSeq2Seq } from "./speech_seq_2_seq.js";
import type { DataTask } from "./task.js";
import { tokenCls } from "./token_cls.js";

const shipped: readonly DataTask[] = [
  ...[seq2SeqLM, causalLM, seqCls, tokenCls, questionAns, featureExtraction],
  ...[speechSeq2Seq, audioCls, audioFrameCls, ctc, imageCls, imageText],
];

/** What data asks of each task; src/tasks registers those from outside. */
export const dataTasks: Registry<DataTask> = new Registry("task", shipped, ({ name }) => [name]);

/** Throws "unknown-task". */
export function dataTaskOf<T extends TaskType>(name: T): DataTask<T> {
  const found = dataTasks.find(name);
  if (found !== undefined) return found as unknown as DataTask<T>;
  throw unknownTask(name, dataTasks.all);
}

export function unknownTask(name: unknown, known: readonly { readonly name: string }[]): PeftError {
  return new PeftError("unknown-task", {
    what: `There is no task ${JSON.stringify(name)}.`,
    why: `known are ${known.map((task) => task.name).join(", ")}.`,
    fix: "use one of these, or add yours: registerTask(task).",
  });
}
