/** The public names of peft.js: the one place where its parts meet. */
export * from "./adapters/index.js";
export type { AdapterConfig } from "./adapters/method.js";
export type { Batch } from "./data/batch.js";
export { batches } from "./data/batches.js";
export { collate } from "./data/collate.js";
export { encodeRows } from "./data/encode.js";
export { loadDataset } from "./data/load.js";
export { preview } from "./data/preview.js";
export type { Row } from "./data/row.js";
export { labelNames } from "./data/row.js";
export { split } from "./data/split.js";
export type { ErrorCode } from "./errors.js";
export { PeftError } from "./errors.js";
export type { GenerationConfig } from "./generate/config.js";
export { streamText, TextStreamer } from "./generate/streamer.js";
export { Parameters } from "./graph/parameters.js";
export { resolveFolder } from "./hub/resolve.js";
export { pushFolder } from "./hub/upload.js";
export type { TaskType } from "./models/model.js";
export {
  AutoModel,
  AutoModelForCausalLM,
  AutoModelForQuestionAnswering,
  AutoModelForSeq2SeqLM,
  AutoModelForSequenceClassification,
  AutoModelForTokenClassification,
} from "./peft/auto.js";
export type { LoadOptions, StepResult } from "./peft/base_model.js";
export { PreTrainedModel } from "./peft/base_model.js";
export type { Inputs } from "./peft/feeds.js";
export type { Loss } from "./peft/losses.js";
export type { ForwardResult } from "./peft/passes.js";
export { getPeftModel, PeftModel } from "./peft/peft_model.js";
export { AutoTokenizer } from "./tokenizers/auto.js";
export type { Tokenizer } from "./tokenizers/tokenizer.js";
export { AdamW } from "./train/adamw.js";
export * from "./train/events.js";
export { learningRate } from "./train/schedules.js";
