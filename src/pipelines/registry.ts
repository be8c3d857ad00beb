import { PeftError } from "../errors.js";
import { nearest } from "../nearest.js";
import type { ImageSource } from "../processors/pictures/image_source.js";
import type { SoundSource } from "../processors/sound/load.js";
import type { TaskType } from "../task.js";
import type { Entity, LabelScore, SpanAnswer } from "../tasks/prediction.js";
import { type AudioClassificationOptions, audioClassification } from "./audio_classification.js";
import type { PipelineDefinition } from "./definition.js";
import type { TextInput } from "./encode.js";
import { featureExtraction } from "./feature_extraction.js";
import { type ImageClassificationOptions, imageClassification } from "./image_classification.js";
import { type ImageFeatureRows, imageFeatureExtraction } from "./image_feature_extraction.js";
import { type LetterRecognitionOptions, letterRecognition } from "./letter_recognition.js";
import type { PictureOptions } from "./picture_input.js";
import {
  type QuestionAnsweringOptions,
  type QuestionInput,
  questionAnswering,
} from "./question_answering.js";
import type { FeatureExtractionOptions } from "./sentence_transformers.js";
import {
  type SpeechRecognitionOptions,
  speechRecognition,
  type Transcription,
} from "./speech_recognition.js";
import { type TextClassificationOptions, textClassification } from "./text_classification.js";
import {
  type GeneratedText,
  type PromptInput,
  type TextGenerationOptions,
  text2TextGeneration,
  textGeneration,
} from "./text_generation.js";
import { type RankedText, type RankingInput, type TextRankingOptions, textRanking } from "./text_ranking.js";
import { type TokenClassificationOptions, tokenClassification } from "./token_classification.js";

/** What a pipeline reads and gives, with the options of its calls. */
export interface PipelineForm<Task extends TaskType, Input, Output, Options> {
  readonly task: Task;
  readonly input: Input;
  readonly output: Output;
  readonly options: Options;
}

/** Texts, or pairs of them, to labels. */
export type Classification = PipelineForm<"SEQ_CLS", TextInput, LabelScore[], TextClassificationOptions>;
/** Texts to entities. */
export type Tagging = PipelineForm<"TOKEN_CLS", string, Entity[], TokenClassificationOptions>;

/** Every pipeline, by its name. */
export interface PipelineForms {
  readonly "text-classification": Classification;
  readonly "sentiment-analysis": Classification;
  readonly "text-ranking": PipelineForm<"SEQ_CLS", RankingInput, RankedText[], TextRankingOptions>;
  readonly "token-classification": Tagging;
  readonly ner: Tagging;
  readonly "question-answering": PipelineForm<
    "QUESTION_ANS",
    QuestionInput,
    SpanAnswer[],
    QuestionAnsweringOptions
  >;
  readonly "feature-extraction": PipelineForm<
    "FEATURE_EXTRACTION",
    string,
    Float32Array,
    FeatureExtractionOptions
  >;
  readonly "automatic-speech-recognition": PipelineForm<
    "SPEECH_SEQ_2_SEQ" | "CTC",
    SoundSource,
    Transcription,
    SpeechRecognitionOptions | LetterRecognitionOptions
  >;
  readonly "audio-classification": PipelineForm<
    "AUDIO_CLS",
    SoundSource,
    LabelScore[],
    AudioClassificationOptions
  >;
  readonly "image-classification": PipelineForm<
    "IMAGE_CLS",
    ImageSource,
    LabelScore[],
    ImageClassificationOptions
  >;
  readonly "image-feature-extraction": PipelineForm<
    "FEATURE_EXTRACTION",
    ImageSource,
    ImageFeatureRows,
    PictureOptions
  >;
  readonly "text-generation": PipelineForm<"CAUSAL_LM", PromptInput, GeneratedText[], TextGenerationOptions>;
  readonly "text2text-generation": PipelineForm<
    "SEQ_2_SEQ_LM",
    PromptInput,
    GeneratedText[],
    TextGenerationOptions
  >;
}

/** Names of pipelines, as transformers has them. */
export type PipelineName = keyof PipelineForms;

/** A definition of which nobody knows any more what it reads. */
export type AnyDefinition = PipelineDefinition<unknown, unknown, object>;

const definitions: readonly AnyDefinition[] = [
  textClassification,
  textRanking,
  tokenClassification,
  questionAnswering,
  featureExtraction,
  textGeneration,
  text2TextGeneration,
  speechRecognition,
  letterRecognition,
  audioClassification,
  imageClassification,
  imageFeatureExtraction,
] as unknown as readonly AnyDefinition[];

/** Names of all pipelines. */
export const PIPELINE_NAMES: readonly PipelineName[] = [
  ...new Set(definitions.flatMap(({ names }) => names)),
] as readonly PipelineName[];

/** Those of a name, one for each task of its models. Throws "option" for a name that no pipeline has. */
export function definitionsOf(name: string): readonly [AnyDefinition, ...AnyDefinition[]] {
  const [first, ...others] = definitions.filter(({ names }) => names.includes(name));
  if (first !== undefined) return [first, ...others];
  const close = nearest(String(name), PIPELINE_NAMES);
  throw new PeftError("option", {
    what: `There is no pipeline ${JSON.stringify(name ?? null)}.`,
    why: `there are ${PIPELINE_NAMES.join(", ")}.`,
    fix: `name one of these: pipeline("${close ?? PIPELINE_NAMES[0]}", "FOLDER_OR_HUB_ID").`,
  });
}

/** The pipeline that asks models for a task; undefined: none does. */
export function pipelineOf(task: string): PipelineName | undefined {
  return definitions.find((definition) => definition.task === task)?.names[0] as PipelineName | undefined;
}
