import type { NamesOf } from "../../arguments.js";
import type { RowProcessor } from "../media.js";
import type { Sound } from "./recording.js";
import type { PaddingOptions } from "./rows.js";
import type { Settings } from "./settings.js";

/** Numbers of a batch: the first axis is the rows. */
export interface FeatureColumn {
  /** Row-major. */
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

/** What a model hears: `inputFeatures` of Whisper, `inputValues` of wav2vec2 and AST. */
export interface SoundFeatures {
  readonly inputFeatures?: FeatureColumn;
  readonly inputValues?: FeatureColumn;
  /** 0 is padding. */
  readonly attentionMask?: { readonly data: Int32Array; readonly shape: readonly [number, number] };
}

/** How sounds become features; what is left out is as the model's file says. */
export interface FeatureOptions extends PaddingOptions {
  /** Samples per second of sounds that are given as bare lists. @default the extractor's own */
  readonly samplingRate?: number | undefined;
  /** Whether the mask of real samples comes with them. @default what the file says */
  readonly returnAttentionMask?: boolean | undefined;
  /** Whether each sound gets mean 0 and variance 1 first. @default what the file says */
  readonly doNormalize?: boolean | undefined;
}

export const featureOptionNames: NamesOf<FeatureOptions> = {
  ...{ padding: {}, maxLength: {}, truncation: {}, padToMultipleOf: {} },
  ...{ samplingRate: {}, returnAttentionMask: {}, doNormalize: {} },
};

/** Sound of one channel: samples from -1 to 1, with their rate or without. */
export type SoundInput = Sound | Float32Array | readonly number[];

/**
 * Makes features of sounds. Sound at another rate than the model's is resampled.
 * @example
 * ```ts
 * import { AutoFeatureExtractor, loadAudio } from "peft.js";
 *
 * const extractor = await AutoFeatureExtractor.fromPretrained("openai/whisper-small");
 * const { inputFeatures } = extractor(await loadAudio("call.mp3"));
 * ```
 */
export interface FeatureExtractor extends RowProcessor {
  (sounds: SoundInput | readonly SoundInput[], options?: FeatureOptions): SoundFeatures;
  /** Samples per second that the model hears. */
  readonly samplingRate: number;
  /** The column that it makes. */
  readonly column: "inputFeatures" | "inputValues";
  /** Seconds that one row holds at most; undefined: any number. */
  readonly window: number | undefined;
  /** preprocessor_config.json as it was read. */
  readonly json: Readonly<Record<string, unknown>>;
}

/** A class of transformers that makes features of sound: one row of the table of auto.ts. */
export interface ExtractorKind {
  /** `feature_extractor_type` in preprocessor_config.json. */
  readonly names: readonly string[];
  /** What the file says, ready to work on waves at its own rate. */
  read(settings: Settings): Extractor;
}

/** A file's extractor. */
export interface Extractor extends Pick<FeatureExtractor, "samplingRate" | "column" | "window" | "dims"> {
  /** @param waves [samples] each, at the extractor's rate */
  extract(waves: readonly Float32Array[], options: FeatureOptions): SoundFeatures;
}

/** The mask of padded rows, where it is asked for. */
export function maskOf(
  wanted: boolean,
  data: Int32Array,
  rows: number,
): Pick<SoundFeatures, "attentionMask"> | undefined {
  return wanted ? { attentionMask: { data, shape: [rows, data.length / Math.max(1, rows)] } } : undefined;
}
