import type { TaskType } from "../models/model.js";
import type { LoadOptions } from "./base_model.js";
import { PreTrainedModel } from "./base_model.js";

export interface AutoModelFor<T extends TaskType> {
  /** Loads a Hub repository or a folder. Throws "unknown-model", "unknown-task", "checkpoint", "file-format", "hub". */
  fromPretrained(nameOrFolder: string, options?: LoadOptions): Promise<PreTrainedModel<T>>;
}

/**
 * The class that loads models for a task, by its name: also for a task of your own.
 * @example
 * registerTask(twoNumbers); // name: "TWO_NUMBERS"
 * const model = await autoModelFor("TWO_NUMBERS").fromPretrained("folder");
 */
export function autoModelFor<T extends TaskType>(task: T): AutoModelFor<T> {
  return { fromPretrained: (nameOrFolder, options) => PreTrainedModel.load(task, nameOrFolder, options) };
}

export const AutoModelForSeq2SeqLM: AutoModelFor<"SEQ_2_SEQ_LM"> = autoModelFor("SEQ_2_SEQ_LM");
export const AutoModelForCausalLM: AutoModelFor<"CAUSAL_LM"> = autoModelFor("CAUSAL_LM");
export const AutoModelForSequenceClassification: AutoModelFor<"SEQ_CLS"> = autoModelFor("SEQ_CLS");
export const AutoModelForTokenClassification: AutoModelFor<"TOKEN_CLS"> = autoModelFor("TOKEN_CLS");
export const AutoModelForQuestionAnswering: AutoModelFor<"QUESTION_ANS"> = autoModelFor("QUESTION_ANS");
export const AutoModel: AutoModelFor<"FEATURE_EXTRACTION"> = autoModelFor("FEATURE_EXTRACTION");
