/**
 * Over 400 lines: the public names of peft.js, by section: the one place where its parts meet.
 * A section is a heading and a line that says what it is for; each is a page of docs/api (tools/api).
 */

// ## Models
// A checkpoint from the Hub or a folder, loaded for one task: run, trained in full, generated with.

export type { RowAdapters, ViewOptions } from "./adapters/views.js";
export type { EngineSettings } from "./engine/engine.js";
export { probeDevices } from "./engine/engine.js";
export type { FormatName } from "./engine/formats/index.js";
export { FORMAT_NAMES } from "./engine/formats/names.js";
export type { GenerationSource } from "./generate/config.js";
export type { Rule } from "./generate/rule.js";
export type { SpeechSegment } from "./generate/whisper/segments.js";
export type { Recordings, SpeechSettings, Transcript } from "./generate/whisper/transcribe.js";
export type { ModelConfig, Pooling, TaskType } from "./models/model.js";
export type { AutoModelFor } from "./peft/auto.js";
export {
  AutoModel,
  AutoModelForAudioClassification,
  AutoModelForAudioFrameClassification,
  AutoModelForCausalLM,
  AutoModelForCTC,
  AutoModelForImageClassification,
  AutoModelForQuestionAnswering,
  AutoModelForSeq2SeqLM,
  AutoModelForSequenceClassification,
  AutoModelForSpeechSeq2Seq,
  AutoModelForTokenClassification,
  autoModelFor,
} from "./peft/auto.js";
export type { ConfigOptions, PretrainedConfig } from "./peft/auto_config.js";
export { AutoConfig } from "./peft/auto_config.js";
export type { LoadOptions } from "./peft/base_model.js";
export { PreTrainedModel } from "./peft/base_model.js";
export type { InspectedAdapter, InspectedLayer, Inspection, InspectOptions } from "./peft/inspect.js";
export { inspect } from "./peft/inspect.js";
export { prepareModelForKbitTraining } from "./peft/kbit.js";
export type { Advice, MachineReport, MachineRequest } from "./peft/machine.js";
export { inspectMachine } from "./peft/machine.js";
export type { SaveModelOptions } from "./peft/save_model.js";
export type { SpeechModel, TranscribeOptions } from "./peft/transcribe.js";
export { transcribe } from "./peft/transcribe.js";
export type { LogProbsOptions } from "./plan/log_probs.js";
export type { PassOptions } from "./plan/requests.js";
export type { Registry } from "./registry.js";
export type { LogProbs } from "./run/log_probs.js";
export type { ForwardResult, Result as ForwardTensor } from "./run/passes.js";
export type { ProblemType, ShippedTask } from "./task.js";
export { PROBLEM_TYPES, SHIPPED_TASKS } from "./task.js";
export { isTaskType, taskOf, tasks } from "./tasks/registry.js";
export type { ColumnBatch, Inputs, TextBatch } from "./trace/feeds.js";
export type { QuantizeEvent } from "./weights/quantized.js";

// ## Adapters
// A method put on a model: trained, switched, mixed, merged, saved and loaded.

export type { Adapter, AdapterParts, LoadedJson, TokenRows } from "./adapters/adapter.js";
export type { Entry as AdapterEntry } from "./adapters/entry.js";
export type { WeightedOptions } from "./adapters/mix.js";
export type { AdapterState } from "./adapters/state.js";
export type { LoadedKeys } from "./attach/adapter_tensors.js";
export type { ClassFields } from "./attach/class_names.js";
export { classFields } from "./attach/class_names.js";
export type { Conversion, ConvertOptions } from "./attach/convert.js";
export type { CombinationType } from "./methods/method.js";
export type {
  AdapterOptions,
  HotswapOptions,
  LoadAdapterOptions,
  MergeOptions,
  PeftModelOptions,
  SaveAdapterOptions,
} from "./peft/adapter_options.js";
export type { AdapterBaseOptions, AutoPeftModelFor, AutoPeftOptions } from "./peft/auto_peft.js";
export {
  AutoPeftModelForCausalLM,
  AutoPeftModelForFeatureExtraction,
  AutoPeftModelForQuestionAnswering,
  AutoPeftModelForSeq2SeqLM,
  AutoPeftModelForSequenceClassification,
  AutoPeftModelForTokenClassification,
  autoPeftModelFor,
  baseOfAdapter,
} from "./peft/auto_peft.js";
export type { ConvertAdapterOptions } from "./peft/convert_adapter.js";
export { getPeftModel } from "./peft/get_peft_model.js";
export type { AdapterInspection, InspectAdapterOptions } from "./peft/inspect.js";
export { inspectAdapter } from "./peft/inspect.js";
export { PeftModel } from "./peft/peft_model.js";

// ## Methods
// One config class for each peft_type, with Python's names in camelCase: see docs/methods.md.

export type * from "./methods/config_types.js";
export * from "./methods/index.js";
export type { AdapterConfig, ValuesOf } from "./methods/method.js";

// ## Processors
// Files that are no text as the numbers that models read.

export { mediaOf as mediaFileKind } from "./data/tables/media_folder.js";
export type { ProcessorOptions } from "./processors/auto.js";
export { AutoFeatureExtractor, AutoImageProcessor } from "./processors/auto.js";
export type { MediaJob, RowProcessor } from "./processors/media.js";
export type { ImageFeatures, PreprocessOptions } from "./processors/pictures/image_processor.js";
export { ImageProcessor } from "./processors/pictures/image_processor.js";
export type { ImageSettings, SizeRule } from "./processors/pictures/image_settings.js";
export type { ImageSource, ReadImageOptions } from "./processors/pictures/image_source.js";
export { readImage } from "./processors/pictures/image_source.js";
export type { RawImage } from "./processors/pictures/raw_image.js";
export type { Resample, Size } from "./processors/pictures/resize.js";

// ## Tokenizers
// Text to token ids and back, and the chat templates of models.

export { tokenizerFor } from "./data/tokenizer_for.js";
export type {
  FeatureColumn,
  FeatureExtractor,
  FeatureOptions,
  SoundFeatures,
  SoundInput,
} from "./processors/sound/extractor.js";
export type { LoadAudioOptions, SoundSource } from "./processors/sound/load.js";
export { loadAudio } from "./processors/sound/load.js";
export type { Sound } from "./processors/sound/recording.js";
export type { PaddingOptions } from "./processors/sound/rows.js";
export type { TokenizerOptions } from "./tokenizers/auto.js";
export { AutoTokenizer } from "./tokenizers/auto.js";
export type { BoxRules } from "./tokenizers/boxes.js";
export type { ChatMessage, ChatOptions } from "./tokenizers/chat.js";
export type { EncodeOptions, Encoding, Side, TruncationStrategy } from "./tokenizers/encode.js";
export type { LetterRules } from "./tokenizers/letters.js";
export type { AddedToken, AddTokensOptions } from "./tokenizers/pipeline/added_tokens.js";
export type { SpecialName } from "./tokenizers/special_tokens.js";
export { specialNames } from "./tokenizers/special_tokens.js";
export type { ChatEncoding, DecodeOptions, SpecialProperties, Tokenizer } from "./tokenizers/tokenizer.js";

// ## Data
// Files to rows, rows to samples, samples to padded batches.

export type {
  AudioClassificationBatch,
  AudioFrameBatch,
  Batch,
  BatchColumn,
  BatchInputs,
  BatchOf,
  CausalLMBatch,
  CtcBatch,
  CustomBatch,
  FeatureExtractionBatch,
  FloatLabelBatch,
  Floats,
  Ids,
  ImageClassificationBatch,
  ImageTextBatch,
  QuestionAnsweringBatch,
  Seq2SeqBatch,
  SequenceClassificationBatch,
  SingleLabelBatch,
  SpeechBatch,
  TokenClassificationBatch,
} from "./data/batch.js";
export type { Batches, BatchesOptions } from "./data/batches.js";
export { batches } from "./data/batches.js";
export type { Box, PageSize } from "./data/boxes.js";
export { collate } from "./data/collate.js";
export type { EncodedRows, EncodeReport, EncodeRowsOptions } from "./data/encode.js";
export { describeReport, encodeRows } from "./data/encode.js";
export type { RowGiver, RowsGiven, WebStream } from "./data/given.js";
export { listDataFiles, loadDataset } from "./data/load.js";
export type {
  LoadDatasetOptions,
  RowMapping,
  RowOptions,
  StreamDatasetOptions,
} from "./data/load_options.js";
export type { CollateOptions } from "./data/padding.js";
export type { Paint, PreviewPiece } from "./data/pieces.js";
export type { CompletionBatch, CompletionCollateOptions } from "./data/preference/collate.js";
export { collateJudged, collatePairs } from "./data/preference/collate.js";
export type {
  CompletionOptions,
  CompletionReport,
  CompletionSample,
  CompletionSequence,
} from "./data/preference/encode.js";
export { describeCompletions, encodeCompletions, unpaired } from "./data/preference/encode.js";
export type { PreviewOptions } from "./data/preview.js";
export { preview, previewPieces } from "./data/preview.js";
export type {
  ChatRow,
  ClassifyRow,
  Conversation,
  DocumentRow,
  JudgedRow,
  PictureRow,
  PreferenceRow,
  PromptRow,
  QuestionRow,
  Row,
  RowKind,
  SimilarityRow,
  SoundRow,
  SpeechRow,
  TextOrTurns,
  TextRow,
  TokensRow,
} from "./data/row.js";
export { labelNames } from "./data/row.js";
export type { OpenRows } from "./data/row_stream.js";
export { RowStream } from "./data/row_stream.js";
export type { RowsFromOptions } from "./data/rows_from.js";
export { rowsFrom } from "./data/rows_from.js";
export type { SplitOptions } from "./data/split.js";
export { split } from "./data/split.js";
export type { DataFormat } from "./data/tables/formats.js";
export { isChat } from "./data/tasks/chat_text.js";
export type {
  EncodedChat,
  EncodedText,
  EncodeTextOptions,
  Message,
  Reader,
  TokenizerLike,
} from "./data/types.js";

// ## Training
// The Trainer and its events; or a loop of one's own from an optimizer, a schedule and checkpoints.

export type { HostTensor } from "./engine/messages.js";
export type { Parameter } from "./graph/parameters.js";
export { Parameters } from "./graph/parameters.js";
export type { StepResult, TrainableBase, TrainableModel, TrainOptions } from "./peft/trainable.js";
export type { TrainedBy } from "./peft/trained_by.js";
export type { BatchSizes } from "./plan/memory/batch.js";
export type { BackwardOptions } from "./plan/requests.js";
export type { AdvantageOptions } from "./rlhf/advantages.js";
export type { PpoOptions } from "./rlhf/ppo.js";
export { PPOTrainer, type PpoTrainerOptions } from "./rlhf/ppo_trainer.js";
export type {
  BCOOptions,
  CPOOptions,
  DPOOptions,
  KTOOptions,
  ORPOOptions,
  PreferenceOptions,
} from "./rlhf/preference_trainers.js";
export {
  BCOTrainer,
  CPOTrainer,
  DPOTrainer,
  KTOTrainer,
  ORPOTrainer,
} from "./rlhf/preference_trainers.js";
export { RewardTrainer, type RewardTrainerOptions } from "./rlhf/reward_trainer.js";
export type { RecordedRun, RunTable } from "./runs/compare_runs.js";
export { readRuns, tableOf } from "./runs/compare_runs.js";
export type { RowTokenizer } from "./runs/for_rows.js";
export { headForRows, processorForRows, taskForRows, tokenizerForRows } from "./runs/for_rows.js";
export { renderRunsReport } from "./runs/runs_report.js";
export type { SaidEvent, TrainRunOptions } from "./runs/train.js";
export { train } from "./runs/train.js";
export type { ClassFigures, ClassReport } from "./tasks/class_report.js";
export type { ErrorCounts, ErrorRates, NormalizeText } from "./tasks/error_rates.js";
export { cer, wer, wordErrors } from "./tasks/error_rates.js";
export { englishNormalizer, normalizeBasic } from "./tasks/normalize_speech.js";
export type { Ranks } from "./tasks/retrieval.js";
export { averagePrecisionAt, ndcgAt, ranksOf, recallAt, reciprocalRankAt } from "./tasks/retrieval.js";
export type { AdamWOptions, AdamWState, StepOptions, StepResult as OptimizerStep } from "./train/adamw.js";
export { AdamW, loraPlus } from "./train/adamw.js";
export type { CustomMetrics } from "./train/custom_metrics.js";
export {
  classTable,
  describeEvent,
  describeHeader,
  figure,
  figures,
  formatBytes,
  formatDuration,
  plural,
} from "./train/describe.js";
export type { EvaluateOptions, Evaluation } from "./train/evaluate.js";
export { evaluate } from "./train/evaluate.js";
export * from "./train/events.js";
export type { Prediction } from "./train/prediction.js";
export type { Progress, ProgressOptions, ProgressStream } from "./train/progress.js";
export { createProgress } from "./train/progress.js";
export { restoreParameters } from "./train/restore.js";
export type { RunMode } from "./train/run_folder.js";
export { eventLine } from "./train/run_folder.js";
export type { Checkpoint, SaveOptions, TrainingState } from "./train/saved_state.js";
export { listCheckpoints, loadState, saveState } from "./train/saved_state.js";
export type {
  DecayShape,
  ScheduleExtras,
  ScheduleName,
  ScheduleOptions,
  ScheduleSteps,
} from "./train/schedules.js";
export { learningRate, SCHEDULE_NAMES } from "./train/schedules.js";
export type { SourceEvaluation, StepSource } from "./train/step_source.js";
export { checkOutputDir, Trainer } from "./train/trainer.js";
export type { EarlyStopping, TrainerOptions } from "./train/trainer_options.js";
export { trainerParts, trainerTable } from "./train/trainer_table.js";
export type { PlainTrainerOptions, TrainerValues } from "./train/trainer_types.js";

// ## Generation
// Settings of generate(), and text while it is generated.

export type { GenerationConfig, GenerationDefaults, Maybe } from "./generate/config.js";
export { GENERATION_DEFAULTS } from "./generate/config.js";
export { generationTable } from "./generate/generation_table.js";
export type { GenerationValues, PlainGenerationOptions } from "./generate/generation_types.js";
export type { Rollout } from "./generate/rollouts.js";
export type { TokenDecoder } from "./generate/stepper.js";
export type { TextStreamerOptions, TokenStreamer } from "./generate/streamer.js";
export { streamText, TextStreamer } from "./generate/streamer.js";
export type { GenerateInput, GenerateSettings } from "./peft/generate.js";
export type { RolloutPrompts, RolloutSettings } from "./peft/rollouts.js";

// ## Pipelines
// Trained models, asked: labels, entities, answers, vectors, texts.

export type { AudioClassificationOptions } from "./pipelines/audio_classification.js";
export type { CallOptions, DocumentInput } from "./pipelines/definition.js";
export type { TextInput, TextPair } from "./pipelines/encode.js";
export type { ImageClassificationOptions } from "./pipelines/image_classification.js";
export type { ImageFeatureRows } from "./pipelines/image_feature_extraction.js";
export type { LetterRecognitionOptions } from "./pipelines/letter_recognition.js";
export type { PipelineOptions } from "./pipelines/open.js";
export type { PictureOptions } from "./pipelines/picture_input.js";
export type { Pipeline, PipelineFor } from "./pipelines/pipeline.js";
export { pipeline } from "./pipelines/pipeline.js";
export type { QuestionAnsweringOptions, QuestionInput } from "./pipelines/question_answering.js";
export type {
  Classification,
  PipelineForm,
  PipelineForms,
  PipelineName,
  Tagging,
} from "./pipelines/registry.js";
export { PIPELINE_NAMES, pipelineOf } from "./pipelines/registry.js";
export type { FeatureExtractionOptions } from "./pipelines/sentence_transformers.js";
export type { SoundOptions } from "./pipelines/sound_input.js";
export type { SpeechRecognitionOptions, SpokenChunk, Transcription } from "./pipelines/speech_recognition.js";
export type { TextClassificationOptions } from "./pipelines/text_classification.js";
export type { GeneratedText, PromptInput, TextGenerationOptions } from "./pipelines/text_generation.js";
export type { RankedText, RankingInput, TextRankingOptions } from "./pipelines/text_ranking.js";
export type { TokenClassificationOptions } from "./pipelines/token_classification.js";

// ## Memory
// What a training step takes, counted before anything is loaded.

export type { InspectedMemory, StepSizes } from "./peft/inspect.js";
export type { ChosenPlan } from "./plan/choose_plan.js";
export type { MemoryEstimate, MemoryParts, RunPurpose } from "./plan/memory/estimate.js";
export { parseBytes, sizeText } from "./plan/memory/sizes.js";
export type { StoredCodes, TableCell, TableRow } from "./plan/memory/table.js";
export type { Plan, PlanName } from "./plan/plan.js";
export { PLAN_NAMES } from "./plan/plan.js";

// ## Hub
// Repositories of the Hub: their files here, and folders that go there.

export type { Chunks, Files } from "./hub/files.js";
export type { ResolveOptions } from "./hub/resolve.js";
export { resolveFolder } from "./hub/resolve.js";
export type { HubEvent, HubOptions } from "./hub/settings.js";
export type { PushOptions, PushResult } from "./hub/upload.js";
export { pushFolder } from "./hub/upload.js";

// ## Extending
// Losses, tasks, methods and architectures from outside the package: see docs/losses.md and
// docs/extending.md.

export { column, pad, stack } from "./data/padding.js";
export type {
  AudioClassificationSample,
  AudioFrameSample,
  CausalLMSample,
  CtcSample,
  CustomSample,
  FeatureExtractionSample,
  ImageClassificationSample,
  ImageTextSample,
  QuestionAnsweringSample,
  Sample,
  SampleInputs,
  SampleOf,
  Seq2SeqSample,
  Sequence,
  SequenceClassificationSample,
  SpeechSample,
  TokenBoxes,
  TokenClassificationSample,
} from "./data/sample.js";
export type { BatchLabels, DataTask, EncodeContext, Encoded, Question } from "./data/tasks/task.js";
export { encodeText } from "./data/tasks/task.js";
export type { Dim, Shape } from "./graph/dims.js";
export type { Block as GraphBlock, Graph, Operand, Pieces } from "./graph/graph.js";
export type {
  Column as InputColumn,
  Input,
  InputSet,
  InputsFor,
  Lengths as InputLengths,
  ReadColumn,
  Role as InputRole,
  SpecialTokens,
} from "./graph/inputs.js";
export { rowInput, tokenInput } from "./graph/inputs.js";
export type {
  AttentionSite,
  CacheShape,
  ConvOptions,
  ConvSite,
  EmbeddingSite,
  ExpertSite,
  FrozenSite,
  KeyValue,
  Layout,
  LinearOptions,
  LinearSite,
  Meeting,
  Module,
  OutputSite,
  Project,
  Slots,
  SublayerSite,
  Trace,
} from "./graph/module.js";
export type {
  Attends,
  Convolves,
  DType,
  Inputs as NodeInputs,
  None as NoAttributes,
  OpName,
  Ops,
  Sees,
  Tensor,
} from "./graph/ops.js";
export { type BcoLossOptions, bcoLoss } from "./losses/bco.js";
export type { CosentOptions } from "./losses/cosent.js";
export { cosentLoss } from "./losses/cosent.js";
export { type CpoLossOptions, type CpoLossType, cpoLoss } from "./losses/cpo.js";
export type { Divergence, DpoLossOptions, DpoLossType } from "./losses/dpo.js";
export { dpoLoss } from "./losses/dpo.js";
export type { GrpoLossName, GrpoLossOptions } from "./losses/grpo.js";
export { GRPO_LOSSES, grpoLoss } from "./losses/grpo.js";
export { type KtoLossOptions, ktoLoss } from "./losses/kto.js";
export type { LogProbOptions, TokenStatistics } from "./losses/log_probs.js";
export {
  atLabelled,
  isLabelled,
  labelColumn,
  labelledLogProbs,
  meanOfTokens,
  sumByRow,
  tokenStatistic,
} from "./losses/log_probs.js";
export type { Loss, LossColumn, LossContext, WrittenLoss } from "./losses/loss.js";
export { countOf } from "./losses/loss.js";
export type { RankingOptions } from "./losses/multiple_negatives_ranking.js";
export { multipleNegativesRankingLoss } from "./losses/multiple_negatives_ranking.js";
export { type OrpoLossOptions, orpoLoss } from "./losses/orpo.js";
export { type LossOptions, lossNamed, registerLoss } from "./losses/registry.js";
export type { RewardLossOptions } from "./losses/reward.js";
export { rewardLoss } from "./losses/reward.js";
export type { RlooLossOptions } from "./losses/rloo.js";
export { rlooLoss } from "./losses/rloo.js";
export { type SftLossOptions, sftLoss } from "./losses/sft.js";
export type { TripletOptions } from "./losses/triplet.js";
export { tripletLoss } from "./losses/triplet.js";
export type { ConfigDefinition } from "./methods/config.js";
export { configClass } from "./methods/config.js";
export type { DeltaParts } from "./methods/delta.js";
export { addsToWeight } from "./methods/delta.js";
export { perRow } from "./methods/gate.js";
export type {
  Adapted,
  Allocator,
  AllPlaces,
  Approximation,
  AttentionMethod,
  AttentionPlace,
  BaseLayer,
  Below,
  ConfigClass,
  ExpertMethod,
  Graded,
  Initial,
  Json,
  LayerLists,
  LayerMethod,
  LayerPlace,
  LearningRate,
  Merged,
  Merging,
  Method,
  MethodRow,
  MethodTable,
  MixedConfig,
  Mixing,
  MixOptions,
  MixPart,
  NamedTensor,
  OutputMethod,
  ParameterSpec,
  Place,
  PlaceMethod,
  Prepared,
  PromptLabels,
  PromptMethod,
  PromptPlace,
  PromptShape,
  SayFault,
  Selection,
  Site,
  SiteMethod,
  StoredFields,
  SublayerMethod,
  SublayerPlace,
} from "./methods/method.js";
export { registerMethod } from "./methods/registry.js";
export {
  blocks as blockOptions,
  saving as savingOptions,
  targets as targetOptions,
} from "./methods/shared_options.js";
export type { WeightDropout } from "./methods/weight_dropout.js";
export type {
  Architecture,
  ArchitectureParts,
  CheckpointRules,
  DecoderInputs,
  Heads,
  LayerRoles,
  PooledHead,
  StackOutput,
  TextInputs,
  TokenHead,
} from "./models/model.js";
export type { AttendOptions } from "./models/parts/attention.js";
export { attend, causalBias, splitHeads, withPast } from "./models/parts/attention.js";
export type { CommonFields, Fields } from "./models/parts/config.js";
export { commonFields, readConfig, stackSizes, tokenlessFields } from "./models/parts/config.js";
export type { HeadsOf } from "./models/parts/decoder_heads.js";
export { decoderHeads } from "./models/parts/decoder_heads.js";
export type { Layer, Reads } from "./models/parts/layers.js";
export { meet, repeat } from "./models/parts/layers.js";
export { firstToken, lastToken } from "./models/parts/pooling.js";
export { registerArchitecture } from "./models/registry.js";
export { textInputs } from "./models/text_inputs.js";
export type { OptionKind, OptionRow, SettledOptions } from "./options.js";
export type { JsonSchema } from "./rlhf/built_in_rewards.js";
export {
  exactReward,
  formatReward,
  jsonReward,
  lengthReward,
  numericReward,
} from "./rlhf/built_in_rewards.js";
export type {
  GroupAdvantageOptions,
  GroupAdvantages,
  LeaveOneOutOptions,
  RewardRow,
} from "./rlhf/group_advantages.js";
export { groupAdvantages, leaveOneOut, lengthMetrics, rewardMetrics } from "./rlhf/group_advantages.js";
export type { GrpoTrainerOptions, RlooTrainerOptions, RolloutTrainerOptions } from "./rlhf/group_trainers.js";
export { GRPOTrainer, RLOOTrainer } from "./rlhf/group_trainers.js";
export { type RankerRewardOptions, rankerReward } from "./rlhf/ranker_reward.js";
export type { PromptText, RewardCalls, RewardContext, RewardFunction, Rewards } from "./rlhf/rewards.js";
export type { PromptRowLike } from "./rlhf/rollout_source.js";
export type { SamplerLimits } from "./rlhf/sampler_ratios.js";
export { samplerLogs, samplerMetrics, samplerRatios } from "./rlhf/sampler_ratios.js";
export { classScores, manyLabelScores, numberScores, tokenScores } from "./tasks/class_scores.js";
export type { Head } from "./tasks/head.js";
export { rowLabels, tokenLabels } from "./tasks/head.js";
export type {
  Entity,
  LabelScore,
  Predicted,
  PredictOptions,
  Said,
  SpanAnswer,
  TextToken,
} from "./tasks/prediction.js";
export type { ModelProblem } from "./tasks/problem.js";
export { registerTask } from "./tasks/registry.js";
export type { InWords, LabelledBatch, Logits, Scored, Scores, Vocabulary } from "./tasks/scores.js";
export { noScores } from "./tasks/scores.js";
export type { LabelForm, LabelPlace, Task } from "./tasks/task.js";
export { answerScores, spanScores } from "./tasks/text_scores.js";

// ## Errors
// Every error says what, why, and what to type.

export type { ErrorCode, ErrorParts } from "./errors.js";
export { PeftError } from "./errors.js";
export type { NamedOption, ShowOption, Words } from "./words.js";
export { option, words } from "./words.js";
