import { internal } from "../errors.js";
import type { SoundSource } from "../processors/sound/load.js";
import type { LabelScore } from "../tasks/prediction.js";
import type { Opened, Part, PipelineDefinition } from "./definition.js";
import { type PartLogits, predict } from "./forward.js";
import {
  isSoundSource,
  logitsOfSounds,
  type SoundOptions,
  soundDefaults,
  soundPart,
  soundsOf,
  wantsSound,
} from "./sound_input.js";

/** How clips are classified. */
export interface AudioClassificationOptions extends SoundOptions {
  /** How many of the likeliest labels are said. @default 5 */
  readonly topK?: number | undefined;
}

type Definition = PipelineDefinition<SoundSource, LabelScore[], AudioClassificationOptions, PartLogits>;

/** Clips to labels. Reference: transformers/pipelines/audio_classification.py */
export const audioClassification: Definition = {
  names: ["audio-classification"],
  task: "AUDIO_CLS",
  options: { featureExtractor: {}, topK: {} },
  wants: wantsSound,
  isInput: isSoundSource,
  defaults: soundDefaults,
  parts: (input) => [soundPart(input)],
  compute: logitsOf,
  output(opened, [part], [logits], { topK = 5 }) {
    const said = predict(opened, part ?? internal("no clip"), logits ?? internal("no logits"), { topK });
    return said.kind === "labels" ? [...said.labels] : [];
  },
  window: 4,
};

async function logitsOf(
  opened: Opened,
  parts: readonly Part[],
  { featureExtractor = internal("no feature extractor") }: AudioClassificationOptions,
): Promise<PartLogits[]> {
  const sounds = await soundsOf(parts, featureExtractor);
  const { data, shape } = await logitsOfSounds(opened, sounds, featureExtractor);
  const outputs = shape.at(-1) ?? 0;
  return parts.map((_, i) => ({ logits: data.slice(i * outputs, (i + 1) * outputs), outputs }));
}
