/** The public names of peft.js: the one place where its parts meet. */
export * from "./adapters/index.js";
export type { AdapterConfig, Method } from "./adapters/method.js";
export type { Batch } from "./data/batch.js";
export { batches } from "./data/batches.js";
export { collate } from "./data/collate.js";
export { describeReport, encodeRows } from "./data/encode.js";
export { nearest } from "./data/faults.js";
export { loadDataset } from "./data/load.js";
export type { LoadDatasetOptions } from "./data/load_options.js";
export { preview } from "./data/preview.js";
export type { Row } from "./data/row.js";
export { labelNames } from "./data/row.js";
export { split } from "./data/split.js";
export type { ErrorCode } from "./errors.js";
export { PeftError } from "./errors.js";
export type { GenerationConfig } from "./generate/config.js";
export { fieldFaults, GENERATION_DEFAULTS, GENERATION_FIELDS } from "./generate/config.js";
export { streamText, TextStreamer } from "./generate/streamer.js";
export { Parameters } from "./graph/parameters.js";
export { readJsonObject } from "./hub/json.js";
export type { ResolveOptions } from "./hub/resolve.js";
export { resolveFolder } from "./hub/resolve.js";
export type { HubEvent } from "./hub/settings.js";
export type { PushOptions } from "./hub/upload.js";
export { pushFolder } from "./hub/upload.js";
export type { TaskType } from "./models/model.js";
export { methodOf } from "./peft/adapter_files.js";
export { attach } from "./peft/attach.js";
export {
  AutoModel,
  AutoModelForCausalLM,
  AutoModelForQuestionAnswering,
  AutoModelForSeq2SeqLM,
  AutoModelForSequenceClassification,
  AutoModelForTokenClassification,
} from "./peft/auto.js";
export type { LoadOptions, StepResult } from "./peft/base_model.js";
export { PreTrainedModel, specOf } from "./peft/base_model.js";
export type { Inputs } from "./peft/feeds.js";
export type { GenerateSettings } from "./peft/generate.js";
export type { Loss } from "./peft/losses.js";
export type { ForwardResult } from "./peft/passes.js";
export { getPeftModel, PeftModel } from "./peft/peft_model.js";
export type { Inventory } from "./peft/trace.js";
export type { ModelSpec } from "./peft/write.js";
export { takeInventory } from "./peft/write.js";
export { AutoTokenizer } from "./tokenizers/auto.js";
export type { ChatMessage } from "./tokenizers/chat.js";
export type { Tokenizer } from "./tokenizers/tokenizer.js";
export { AdamW } from "./train/adamw.js";
export { evaluate } from "./train/evaluate.js";
export * from "./train/events.js";
export { createProgress, formatBytes, formatDuration } from "./train/progress.js";
export { learningRate } from "./train/schedules.js";
export type { TrainerOptions } from "./train/trainer.js";
export { Trainer } from "./train/trainer.js";
