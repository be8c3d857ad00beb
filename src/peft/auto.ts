import type { TaskType } from "../models/model.js";
import type { LoadOptions } from "./base_model.js";
import { PreTrainedModel } from "./base_model.js";

interface AutoModelFor<T extends TaskType> {
  /** Loads a Hub repository or a folder. Throws "unknown-model", "unknown-task", "checkpoint", "file-format", "hub". */
  fromPretrained(nameOrFolder: string, options?: LoadOptions): Promise<PreTrainedModel<T>>;
}

function autoModel<T extends TaskType>(task: T): AutoModelFor<T> {
  return { fromPretrained: (nameOrFolder, options) => PreTrainedModel.load(task, nameOrFolder, options) };
}

export const AutoModelForSeq2SeqLM: AutoModelFor<"SEQ_2_SEQ_LM"> = autoModel("SEQ_2_SEQ_LM");
export const AutoModelForCausalLM: AutoModelFor<"CAUSAL_LM"> = autoModel("CAUSAL_LM");
export const AutoModelForSequenceClassification: AutoModelFor<"SEQ_CLS"> = autoModel("SEQ_CLS");
export const AutoModelForTokenClassification: AutoModelFor<"TOKEN_CLS"> = autoModel("TOKEN_CLS");
export const AutoModelForQuestionAnswering: AutoModelFor<"QUESTION_ANS"> = autoModel("QUESTION_ANS");
export const AutoModel: AutoModelFor<"FEATURE_EXTRACTION"> = autoModel("FEATURE_EXTRACTION");
