import { expectArgument, refuseUnknown } from "../../arguments.js";
import { PeftError } from "../../errors.js";
import { isRecord } from "../../narrow.js";
import { SOUND_CHANGES } from "./augment.js";
import {
  type ExtractorKind,
  type FeatureExtractor,
  type FeatureOptions,
  featureOptionNames,
  type SoundInput,
} from "./extractor.js";
import { astFeatures, seamlessFeatures } from "./filter_banks.js";
import { expectRate, mono, type Sound } from "./recording.js";
import { resample } from "./resample.js";
import { Settings } from "./settings.js";
import { waveFeatures } from "./waves.js";
import { whisperFeatures } from "./whisper.js";

const kinds: readonly ExtractorKind[] = [whisperFeatures, waveFeatures, astFeatures, seamlessFeatures];

/** Models whose files do not name their extractor. */
const BY_MODEL: Readonly<Record<string, ExtractorKind>> = {
  ...{ whisper: whisperFeatures, "audio-spectrogram-transformer": astFeatures },
  ...{ wav2vec2: waveFeatures, hubert: waveFeatures, wavlm: waveFeatures },
  "wav2vec2-bert": seamlessFeatures,
};

/** Whether a preprocessor_config.json is about sound. */
export function isOfSound(json: Readonly<Record<string, unknown>>, modelType?: unknown): boolean {
  return kindOf(json, modelType) !== undefined;
}

/**
 * The extractor that a preprocessor_config.json describes.
 * @param at the file's path, for messages
 * @param modelType of config.json: old files do not name their class
 * @throws "file-format" where it is of no class that is known here, or a field is wrong
 */
export function featureExtractor(
  json: Readonly<Record<string, unknown>>,
  at: string,
  modelType?: unknown,
): FeatureExtractor {
  const kind = kindOf(json, modelType);
  if (kind === undefined)
    throw new PeftError("file-format", {
      what: `"${at}" describes no feature extractor that is known here: ${JSON.stringify(json["feature_extractor_type"] ?? null)}.`,
      why: `known are ${kinds.flatMap(({ names }) => names).join(", ")}.`,
      fix: "use a model of one of these, or make the features yourself.",
    });
  const { extract, samplingRate, column, window, dims } = kind.read(new Settings(json, at));
  const call = (sounds: SoundInput | readonly SoundInput[], options: FeatureOptions = {}) => {
    refuseUnknown("a feature extractor", options, featureOptionNames);
    const { samplingRate: rate = samplingRate, ...rest } = options;
    expectRate(rate, "that is given");
    return extract(
      listOf(sounds).map((sound) => waveOf(sound, rate, samplingRate)),
      Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)),
    );
  };
  const job = { kind: "sound" as const, settings: { json, at, modelType } };
  return Object.assign(call, { samplingRate, column, window, json, job, dims, augmentations: SOUND_CHANGES });
}

function kindOf(json: Readonly<Record<string, unknown>>, modelType: unknown): ExtractorKind | undefined {
  const name = json["feature_extractor_type"];
  const named = kinds.find(({ names }) => typeof name === "string" && names.includes(name));
  if (named !== undefined || name !== undefined) return named;
  return typeof modelType === "string" && Object.hasOwn(BY_MODEL, modelType)
    ? BY_MODEL[modelType]
    : undefined;
}

/** One sound, or several. */
function listOf(sounds: SoundInput | readonly SoundInput[]): readonly SoundInput[] {
  if (!Array.isArray(sounds)) return [sounds as SoundInput];
  return sounds.every((one) => typeof one === "number") ? [sounds] : sounds;
}

function waveOf(sound: SoundInput, rate: number, wanted: number): Float32Array {
  const isList = (value: unknown): boolean => value instanceof Float32Array || Array.isArray(value);
  const array = isSound(sound) ? sound.array : sound;
  expectArgument("a feature extractor", sound, {
    is: isList(array),
    wants: "sound: samples from -1 to 1, or { array, samplingRate }",
    fix: 'load it first: extractor(await loadAudio("clip.wav")).',
  });
  const data = array instanceof Float32Array ? array : Float32Array.from(array);
  const samplingRate = isSound(sound) ? sound.samplingRate : rate;
  return resample(mono({ data, channels: 1, samplingRate }, "that is given").array, samplingRate, wanted);
}

function isSound(sound: SoundInput): sound is Sound {
  return isRecord(sound) && "samplingRate" in sound;
}
