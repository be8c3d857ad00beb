import type { TaskType } from "../models/model.js";
import type { LoadOptions } from "./base_model.js";
import { PreTrainedModel } from "./base_model.js";

/** Loads models for one task. */
export interface AutoModelFor<T extends TaskType> {
  /**
   * Loads a Hub repository or a folder. Weights are mapped from the checkpoint; the engine starts with the
   * first run. Reference: transformers/models/auto/modeling_auto.py
   * @throws "unknown-model", "unknown-task", "checkpoint", "file-format", "hub", "option", "engine"
   * @example
   * ```ts
   * import { AutoModelForSequenceClassification } from "peft.js";
   *
   * await using base = await AutoModelForSequenceClassification.fromPretrained("bert-base-uncased", {
   *   config: { num_labels: 3 },
   *   maxMemory: "4GB",
   * });
   * ```
   */
  fromPretrained(nameOrFolder: string, options?: LoadOptions): Promise<PreTrainedModel<T>>;
}

/**
 * The class that loads models for a task, by its name: also for a task of your own.
 * @example
 * ```ts
 * import { autoModelFor, registerTask, type Task } from "peft.js";
 *
 * declare const twoNumbers: Task<"TWO_NUMBERS">; // its name is "TWO_NUMBERS": see docs/extending.md
 * registerTask(twoNumbers);
 * const own = await autoModelFor("TWO_NUMBERS").fromPretrained("folder");
 * ```
 */
export function autoModelFor<T extends TaskType>(task: T): AutoModelFor<T> {
  return { fromPretrained: (nameOrFolder, options) => PreTrainedModel.load(task, nameOrFolder, options) };
}

/** Models that read a text and write another (T5, BART): SEQ_2_SEQ_LM. */
export const AutoModelForSeq2SeqLM: AutoModelFor<"SEQ_2_SEQ_LM"> = autoModelFor("SEQ_2_SEQ_LM");
/** Models that write what is spoken in a clip (Whisper): SPEECH_SEQ_2_SEQ. */
export const AutoModelForSpeechSeq2Seq: AutoModelFor<"SPEECH_SEQ_2_SEQ"> = autoModelFor("SPEECH_SEQ_2_SEQ");
/** Models that label clips: AUDIO_CLS. */
export const AutoModelForAudioClassification: AutoModelFor<"AUDIO_CLS"> = autoModelFor("AUDIO_CLS");
/** Models that read letters off clips (wav2vec2, HuBERT, WavLM): CTC. */
export const AutoModelForCTC: AutoModelFor<"CTC"> = autoModelFor("CTC");
/** Models that label the frames of clips: AUDIO_FRAME_CLS. */
export const AutoModelForAudioFrameClassification: AutoModelFor<"AUDIO_FRAME_CLS"> =
  autoModelFor("AUDIO_FRAME_CLS");
/** Models that continue a text (Llama, GPT-2, Qwen): CAUSAL_LM. */
export const AutoModelForCausalLM: AutoModelFor<"CAUSAL_LM"> = autoModelFor("CAUSAL_LM");
/** Models that label a text, or a pair of them, or give it a number: SEQ_CLS. */
export const AutoModelForSequenceClassification: AutoModelFor<"SEQ_CLS"> = autoModelFor("SEQ_CLS");
/** Models that label each word of a text: TOKEN_CLS. */
export const AutoModelForTokenClassification: AutoModelFor<"TOKEN_CLS"> = autoModelFor("TOKEN_CLS");
/** Models that mark the answer in a text: QUESTION_ANS. */
export const AutoModelForQuestionAnswering: AutoModelFor<"QUESTION_ANS"> = autoModelFor("QUESTION_ANS");
/** Models that label a picture: IMAGE_CLS. */
export const AutoModelForImageClassification: AutoModelFor<"IMAGE_CLS"> = autoModelFor("IMAGE_CLS");
/** Models without a head: hidden states, FEATURE_EXTRACTION. */
export const AutoModel: AutoModelFor<"FEATURE_EXTRACTION"> = autoModelFor("FEATURE_EXTRACTION");
