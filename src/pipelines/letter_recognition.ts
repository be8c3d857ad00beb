import { argmax } from "../argmax.js";
import { internal } from "../errors.js";
import type { SoundSource } from "../processors/sound/load.js";
import { type Heard, heardLetters, heardWords, textOfLetters } from "../tokenizers/letters.js";
import type { Opened, Part, PipelineDefinition } from "./definition.js";
import {
  isSoundSource,
  logitsOfSounds,
  type SoundOptions,
  soundDefaults,
  soundPart,
  soundsOf,
  wantsSound,
} from "./sound_input.js";
import type { Transcription } from "./speech_recognition.js";

/** How letters are read off clips. */
export interface LetterRecognitionOptions extends SoundOptions {
  /** Say when each word, or each letter, is spoken; `true` is "word". @default false */
  readonly returnTimestamps?: boolean | "word" | "char" | undefined;
}

/** What the frames of a clip say, a token each. */
interface Frames {
  readonly ids: readonly number[];
  /** Of one of them. */
  readonly seconds: number;
}

type Definition = PipelineDefinition<SoundSource, Transcription, LetterRecognitionOptions, Frames>;

/**
 * Speech to text, letter by letter (CTC): each frame's likeliest. Reference:
 * transformers/pipelines/automatic_speech_recognition.py
 */
export const letterRecognition: Definition = {
  names: ["automatic-speech-recognition"],
  task: "CTC",
  options: { featureExtractor: {}, returnTimestamps: { also: ["timestamps"] } },
  wants: wantsSound,
  isInput: isSoundSource,
  defaults: soundDefaults,
  parts: (input) => [soundPart(input)],
  compute: framesSaid,
  output({ tokenizer }, _, [said], { returnTimestamps = false }) {
    const { ids, seconds } = said ?? internal("a clip without frames");
    const { letters: rules } = tokenizer;
    if (rules === undefined) return { text: tokenizer.decode(ids) };
    const tokens = ids.map((id) => tokenizer.convertIdsToTokens(id) ?? "");
    const letters = heardLetters(tokens, rules);
    const text = textOfLetters(letters);
    if (returnTimestamps === false) return { text };
    const parts: readonly Heard[] = returnTimestamps === "char" ? letters : heardWords(letters, rules);
    return {
      text,
      chunks: parts.map((part) => ({
        text: part.text,
        timestamp: [part.start * seconds, part.end * seconds],
      })),
    };
  },
  window: 4,
};

async function framesSaid(
  opened: Opened,
  parts: readonly Part[],
  { featureExtractor = internal("no feature extractor") }: LetterRecognitionOptions,
): Promise<Frames[]> {
  const sounds = await soundsOf(parts, featureExtractor);
  const { data, shape } = await logitsOfSounds(opened, sounds, featureExtractor);
  const [, frames = 0, letters = 0] = shape;
  const { framesOf, samplesPerFrame = 0 } = opened.model.config;
  return sounds.map(({ array }, row) => {
    const ids = Array.from({ length: Math.min(frames, framesOf?.(array.length) ?? frames) }, (_, frame) => {
      const start = (row * frames + frame) * letters;
      return argmax(data.subarray(start, start + letters));
    });
    return { ids, seconds: samplesPerFrame / featureExtractor.samplingRate };
  });
}
