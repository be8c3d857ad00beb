import { PeftError } from "../../errors.js";
import type { MediaColumns, MediaKind } from "../media.js";
import { changedSound } from "./augment.js";
import { featureExtractor } from "./kinds.js";
import { loadAudio, type SoundSource } from "./load.js";

/** What a worker needs to make features: the model's file, and what is asked of it. */
export interface SoundSettings {
  readonly json: Readonly<Record<string, unknown>>;
  readonly at: string;
  readonly modelType?: unknown;
}

/**
 * `inputFeatures` [rows, mels, frames], or `inputValues` [rows, samples]; the mask of samples beside these.
 */
export const soundRows: MediaKind<SoundSettings, Float32Array> = {
  async row(source, name, settings, change) {
    const { samplingRate } = extractorOf(settings);
    try {
      const { array } = await loadAudio(source as SoundSource, { samplingRate });
      return change === undefined ? array : changedSound(array, change.augmentation, change.key);
    } catch (error) {
      if (!(error instanceof PeftError) || error.code === "internal") throw error;
      const { what, why, fix, code } = error;
      throw new PeftError(code, { what: `${name}: ${what}`, why, fix, cause: error });
    }
  },
  join(rows, settings): MediaColumns {
    const { attentionMask, inputFeatures, inputValues } = extractorOf(settings)(rows);
    return {
      ...(inputFeatures && { inputFeatures }),
      ...(inputValues && { inputValues }),
      ...(attentionMask && { attentionMask }),
    };
  },
};

/** Extractors by their settings: filters and windows are computed once. */
const extractors: WeakMap<SoundSettings, ReturnType<typeof featureExtractor>> = new WeakMap();

function extractorOf(settings: SoundSettings): ReturnType<typeof featureExtractor> {
  const known = extractors.get(settings) ?? featureExtractor(settings.json, settings.at, settings.modelType);
  extractors.set(settings, known);
  return known;
}
