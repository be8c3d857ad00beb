import { PeftError } from "../errors.js";
import type { GenerationConfig } from "../generate/config.js";
import { type WhisperGeneration, whisperGeneration } from "../generate/whisper/config.js";
import {
  type Recordings,
  type SpeechSettings,
  type Transcript,
  transcribeWith,
} from "../generate/whisper/transcribe.js";
import type { GenerateInput, GenerateSettings } from "./generate.js";

/** A model that hears: PeftModel and PreTrainedModel are ones. */
export interface SpeechModel {
  readonly base: {
    readonly name: string;
    readonly configJson: Readonly<Record<string, unknown>>;
    readonly generationSource: { readonly json?: Readonly<Record<string, unknown>> | undefined };
  };
  generate(input: GenerateInput, settings?: GenerateSettings): Promise<number[][]>;
}

/** How speech is written down: settings of generate() too. */
export type TranscribeOptions = SpeechSettings &
  GenerationConfig &
  Pick<GenerateSettings, "signal" | "warn" | "seed">;

/**
 * Writes down what is said in recordings of any length, as Whisper's own generate() does in transformers:
 * language and task in the prompt, the language found where none is named, window after window.
 * Reference: transformers/models/whisper/generation_whisper.py
 * @param recordings log-mel features, [recordings, mels, frames]: `inputFeatures` of the model's extractor
 * @throws "generation", "batch", "aborted"
 * @example
 * ```ts
 * import { AutoFeatureExtractor, AutoModelForSpeechSeq2Seq, AutoTokenizer, loadAudio, transcribe } from
 * "peft.js";
 *
 * const name = "openai/whisper-small";
 * const model = await AutoModelForSpeechSeq2Seq.fromPretrained(name);
 * const extractor = await AutoFeatureExtractor.fromPretrained(name);
 * const tokenizer = await AutoTokenizer.fromPretrained(name);
 * const sound = await loadAudio("call.mp3");
 * const { inputFeatures } = extractor(sound, { truncation: false, padding: "longest" });
 * const [said] = await transcribe(model, inputFeatures!, { language: "hindi" });
 * console.log(tokenizer.decode(said!.ids, { skipSpecialTokens: true }));
 * ```
 */
export function transcribe(
  model: SpeechModel,
  recordings: Recordings,
  options: TranscribeOptions = {},
): Promise<Transcript[]> {
  const { base } = model;
  const g = whisperGeneration(base.generationSource.json ?? {}, base.configJson);
  if (g === undefined)
    throw new PeftError("generation", {
      what: `"${base.name}" does not write down speech in windows.`,
      why: `its model_type is ${JSON.stringify(base.configJson["model_type"])}, and transcribe() is Whisper's way.`,
      fix: 'use the pipeline "automatic-speech-recognition", which knows models of each kind.',
    });
  return transcribeBy(g, model, recordings, options);
}

/** The same with what the model's files say given. */
export function transcribeBy(
  g: WhisperGeneration,
  model: Pick<SpeechModel, "generate">,
  recordings: Recordings,
  { signal, warn, seed, ...options }: TranscribeOptions,
): Promise<Transcript[]> {
  return transcribeWith(g, recordings, options, async (windows, starts, settings, rules) => {
    const width = starts[0]?.length ?? 0;
    const input = { columns: { inputFeatures: windows }, decoderInputIds: starts };
    const ids = await model.generate(input, { ...settings, rules, signal, warn, seed });
    return ids.map((row) => row.slice(width));
  });
}
