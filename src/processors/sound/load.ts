import { PeftError } from "../../errors.js";
import { nodeFiles } from "../../hub/files.js";
import { messageOf } from "../../narrow.js";
import { expectRate, mono, type Recording, type Sound, soundFault } from "./recording.js";
import { resample } from "./resample.js";
import { isWav, readWav } from "./wav.js";

/** Where sound is: a file's path, a file's bytes, or samples. */
export type SoundSource = string | Uint8Array | Sound;

/** How sound is loaded. */
export interface LoadAudioOptions {
  /** Samples per second that it is to have. @default 16000 */
  readonly samplingRate?: number | undefined;
}

/** Files that are read as a whole: 2 GB. */
const MOST_BYTES = 2 ** 31;

/**
 * Sound of a file as one channel at a rate. WAV is read here; FLAC, MP3, OGG, Opus, M4A and others by the
 * package audio-decode, which is loaded when it is first needed.
 * @throws "file-format" where the file cannot be read, "data" where the decoder is not installed
 * @example
 * ```ts
 * import { loadAudio } from "peft.js";
 *
 * const { array } = await loadAudio("call.mp3", { samplingRate: 16000 });
 * ```
 */
export async function loadAudio(source: SoundSource, options: LoadAudioOptions = {}): Promise<Sound> {
  const { samplingRate = 16000 } = options;
  const { bytes, at, sound } = await read(source);
  expectRate(samplingRate, at);
  const whole = sound ?? mono(await decode(bytes, at), at);
  return { array: resample(whole.array, whole.samplingRate, samplingRate), samplingRate };
}

async function read(source: SoundSource): Promise<{ bytes: Uint8Array; at: string; sound?: Sound }> {
  if (source instanceof Uint8Array) return { bytes: source, at: `of ${source.length} bytes` };
  if (typeof source !== "string") {
    const { array, samplingRate } = source;
    const at = "that is given as samples";
    return { bytes: new Uint8Array(), at, sound: mono({ data: array, channels: 1, samplingRate }, at) };
  }
  const at = JSON.stringify(source);
  const size = await nodeFiles.size(source);
  if (size > MOST_BYTES)
    throw soundFault(at, `it has ${size} bytes, and up to ${MOST_BYTES} are read at once`);
  return { bytes: await nodeFiles.read(source, 0, size), at };
}

/**
 * What a file of sound holds.
 * @param at where the bytes are from, for messages
 */
export async function decode(bytes: Uint8Array, at: string): Promise<Recording> {
  if (bytes.length === 0) throw soundFault(at, "it is empty");
  if (isWav(bytes)) return readWav(bytes, at);
  const decoder = await loadDecoder(at);
  let decoded: Decoded;
  try {
    decoded = await decoder(bytes);
  } catch (error) {
    throw soundFault(at, `the decoder says: ${messageOf(error).replace(/\.$/, "")}`, error);
  }
  const { channelData, sampleRate } = decoded;
  const channels = channelData.length;
  const samples = channelData.reduce((least, channel) => Math.min(least, channel.length), Infinity);
  if (channels === 0 || samples === 0) throw soundFault(at, "it has 0 samples");
  const data = new Float32Array(samples * channels);
  for (const [c, channel] of channelData.entries())
    for (let i = 0; i < samples; i++) data[i * channels + c] = channel[i] ?? 0;
  const bits = flacBits(bytes);
  if (bits !== undefined) for (let i = 0; i < data.length; i++) data[i] = onGrid(data[i] ?? 0, bits);
  return { data, channels, samplingRate: sampleRate };
}

/** Bits of a sample, where a file is FLAC: its first block says so. */
function flacBits(bytes: Uint8Array): number | undefined {
  const isFlac = [0x66, 0x4c, 0x61, 0x43].every((byte, i) => bytes[i] === byte);
  return isFlac ? ((((bytes[20] ?? 0) & 1) << 4) | ((bytes[21] ?? 0) >> 4)) + 1 : undefined;
}

/** The decoder divides by the largest number of so many bits; libsndfile, as everyone else, by one more. */
function onGrid(x: number, bits: number): number {
  return Math.round(x * (2 ** (bits - 1) - 1)) / 2 ** (bits - 1);
}

interface Decoded {
  readonly channelData: readonly Float32Array[];
  readonly sampleRate: number;
}

async function loadDecoder(at: string): Promise<(bytes: Uint8Array) => Promise<Decoded>> {
  try {
    const { default: decode } = await import("audio-decode");
    return async (bytes) => {
      const { channelData, sampleRate } = await decode(bytes);
      return { channelData, sampleRate };
    };
  } catch (error) {
    throw new PeftError("data", {
      what: `The sound ${at} is no WAV file.`,
      why: "other formats are read by the package audio-decode, which is not installed.",
      fix: "npm i audio-decode; or turn the files into WAV: ffmpeg -i clip.mp3 clip.wav.",
      cause: error,
    });
  }
}
