import type { NamesOf } from "../arguments.js";
import { internal } from "../errors.js";
import type { SpeechSegment } from "../generate/whisper/segments.js";
import type { SpeechSettings, Transcript } from "../generate/whisper/transcribe.js";
import { transcribe } from "../peft/transcribe.js";
import { at } from "../present.js";
import type { SoundSource } from "../processors/sound/load.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import type { Opened, Part, PipelineDefinition } from "./definition.js";
import {
  isSoundSource,
  type SoundOptions,
  soundDefaults,
  soundPart,
  soundsOf,
  wantsSound,
} from "./sound_input.js";
import type { TextGenerationOptions } from "./text_generation.js";

/** How speech is written down. */
export interface SpeechRecognitionOptions
  extends SoundOptions,
    Omit<SpeechSettings, "language" | "promptIds" | "decoderInputIds">,
    Pick<TextGenerationOptions, "numBeams" | "maxNewTokens" | "seed"> {
  /** The language spoken: "hindi" or "hi". @default what the model finds likeliest */
  readonly language?: string | undefined;
  /** Words that may have come before: names, how things are spelt. */
  readonly prompt?: string | undefined;
}

/** What was said. */
export interface Transcription {
  readonly text: string;
  /** Its parts with their seconds, where times are asked for. */
  readonly chunks?: readonly SpokenChunk[];
}

/** A part of what was said. */
export interface SpokenChunk {
  readonly text: string;
  /** Seconds from its start to its end. */
  readonly timestamp: readonly [start: number, end: number];
}

const names: NamesOf<SpeechRecognitionOptions> = {
  ...{
    featureExtractor: {},
    language: { also: ["lang"] },
    task: {},
    returnTimestamps: { also: ["timestamps"] },
  },
  ...{ prompt: {}, promptConditionType: {}, conditionOnPrevTokens: {}, temperatures: {} },
  ...{ compressionRatioThreshold: {}, logprobThreshold: {}, noSpeechThreshold: {} },
  ...{ numBeams: { also: ["beams"] }, maxNewTokens: {}, seed: {} },
};

type Definition = PipelineDefinition<SoundSource, Transcription, SpeechRecognitionOptions, Transcript>;

/** Speech to text. Reference: transformers/pipelines/automatic_speech_recognition.py */
export const speechRecognition: Definition = {
  names: ["automatic-speech-recognition"],
  task: "SPEECH_SEQ_2_SEQ",
  options: names,
  wants: wantsSound,
  isInput: isSoundSource,
  defaults: soundDefaults,
  parts: (input) => [soundPart(input)],
  compute: transcripts,
  output({ tokenizer, model }, _, [said], { returnTimestamps = false }) {
    const { ids, segments } = said ?? internal("a clip without a transcript");
    const text = textOf(tokenizer, ids, timesFrom(model));
    if (!returnTimestamps) return { text };
    return { text, chunks: segments.map((segment) => chunkOf(tokenizer, segment, timesFrom(model))) };
  },
  window: 4,
};

async function transcripts(
  { model, tokenizer, warnOnce }: Opened,
  parts: readonly Part[],
  options: SpeechRecognitionOptions,
  signal?: AbortSignal,
): Promise<Transcript[]> {
  const { featureExtractor = internal("no feature extractor"), prompt, ...settings } = options;
  const sounds = await soundsOf(parts, featureExtractor);
  const window = (featureExtractor.window ?? 30) * featureExtractor.samplingRate;
  const isLong = sounds.some(({ array }) => array.length > window);
  // Whole recordings, each filled to full windows: the last of them is silence.
  const length = isLong ? Math.max(window, ...sounds.map(({ array }) => array.length)) : window;
  const { inputFeatures } = featureExtractor(sounds, {
    truncation: true,
    padding: "max_length",
    maxLength: length,
  });
  const features = inputFeatures ?? internal("no features of speech");
  const [, , total = 0] = features.shape;
  const frames = sounds.map(({ array }) => (isLong ? Math.ceil((array.length / length) * total) : total));
  const promptIds = prompt === undefined ? undefined : promptOf(tokenizer, prompt);
  return transcribe(model, { ...features, frames }, { ...settings, promptIds, signal, warn: warnOnce });
}

/** <|startofprev|> and a text, as Whisper's get_prompt_ids writes it. */
function promptOf(tokenizer: Tokenizer, prompt: string): number[] {
  const { inputIds } = tokenizer(` ${prompt.trim()}`, { addSpecialTokens: false });
  return [...[tokenizer.convertTokensToIds("<|startofprev|>")].flat(), ...at(inputIds, 0)].filter(
    (id) => id !== undefined,
  );
}

/** The first id that is a time; none where the model knows none. */
function timesFrom({ base }: Opened["model"]): number {
  const id = base.generationSource.json?.["no_timestamps_token_id"];
  return typeof id === "number" ? id + 1 : Number.POSITIVE_INFINITY;
}

function textOf(tokenizer: Tokenizer, ids: readonly number[], times: number): string {
  const words = ids.filter((id) => id < times);
  return tokenizer.decode(words, { skipSpecialTokens: true });
}

function chunkOf(tokenizer: Tokenizer, { tokens, start, end }: SpeechSegment, times: number): SpokenChunk {
  const round = (x: number): number => Math.round(x * 100) / 100;
  return { text: textOf(tokenizer, tokens, times), timestamp: [round(start), round(end)] };
}
