import { isRecord } from "../narrow.js";
import { AutoFeatureExtractor } from "../processors/auto.js";
import type { FeatureExtractor } from "../processors/sound/extractor.js";
import { loadAudio, type SoundSource } from "../processors/sound/load.js";
import type { Sound } from "../processors/sound/recording.js";
import type { Inputs } from "../trace/feeds.js";
import type { Opened, Part } from "./definition.js";

/** How sound becomes a model's input. */
export interface SoundOptions {
  /** @default the model's own */
  readonly featureExtractor?: FeatureExtractor | undefined;
}

export const wantsSound = "sound: a file's path, its bytes, or { array, samplingRate }";

export function isSoundSource(value: unknown): value is SoundSource {
  if (typeof value === "string" || value instanceof Uint8Array) return true;
  return (
    isRecord(value) && value["array"] instanceof Float32Array && typeof value["samplingRate"] === "number"
  );
}

/** The extractor that lies beside the model. */
export async function soundDefaults({ model }: Opened): Promise<{ featureExtractor: FeatureExtractor }> {
  return { featureExtractor: await AutoFeatureExtractor.fromPretrained(model.base.name) };
}

/** A row that has its sound beside it, to be read when its batch is computed. */
export function soundPart(source: SoundSource): Part {
  return { row: 0, at: "", inputIds: new Int32Array(0), text: "", tokens: [], media: source };
}

/** What a model says of sounds: its logits. */
export async function logitsOfSounds(
  { model }: Opened,
  sounds: readonly Sound[],
  featureExtractor: FeatureExtractor,
): Promise<{ readonly data: Float32Array; readonly shape: readonly number[] }> {
  const { attentionMask, ...columns } = featureExtractor(sounds);
  const batch = { task: model.taskType, columns, ...(attentionMask && { attentionMask }) };
  return (await model.forward(batch as unknown as Inputs)).logits;
}

/** The sounds of a batch, at the model's rate. */
export function soundsOf(parts: readonly Part[], { samplingRate }: FeatureExtractor): Promise<Sound[]> {
  const sources = parts.map(({ media }) => media).filter(isSoundSource);
  return Promise.all(sources.map((source) => loadAudio(source, { samplingRate })));
}
