import { type Extractor, type ExtractorKind, maskOf } from "./extractor.js";
import { fourier } from "./fourier.js";
import { kaldiFilters, type MelFilter } from "./mel.js";
import { RATES } from "./recording.js";
import { padRows } from "./rows.js";
import type { Settings } from "./settings.js";
import { energies } from "./spectrum.js";

/** Kaldi's frames: how many samples each has, how far apart they are, and their window. */
interface Banks {
  readonly length: number;
  readonly hop: number;
  readonly window: Float64Array;
  readonly transform: ReturnType<typeof fourier>;
  readonly filters: readonly MelFilter[];
}

const PREEMPHASIS = 0.97;
/** Energies below this count as this: the least step of f32 at 1. */
const FLOOR = 1.1920928955078125e-7;

/**
 * AST's: log energies of Kaldi's mel filters (25 ms every 10 ms, Hann), cut to maxLength frames or filled
 * with zeros, then (x - mean) / (2 std).
 * Reference: transformers, feature_extraction_audio_spectrogram_transformer.py
 */
export const astFeatures: ExtractorKind = {
  names: ["ASTFeatureExtractor"],
  read(settings): Extractor {
    const banks = banksOf(settings, 128, 1);
    const frames = settings.whole("max_length", 1024, 1, 2 ** 16);
    const [mean, std] = [settings.number("mean", -4.2677393), settings.number("std", 4.5689974)];
    const isNormalized = settings.flag("do_normalize", true);
    return {
      ...{ samplingRate: rateOf(settings), column: "inputValues", window: undefined },
      extract(waves, { doNormalize = isNormalized }) {
        const rows = waves.map((wave) => filterBanks(wave, banks));
        const limit = { padding: "max_length", truncation: true, maxLength: frames } as const;
        const width = banks.filters.length;
        const { data } = padRows(rows, width, { side: "right", value: 0 }, limit);
        if (doNormalize) for (let i = 0; i < data.length; i++) data[i] = ((data[i] ?? 0) - mean) / (2 * std);
        return { inputValues: { data, shape: [waves.length, frames, width] } };
      },
    };
  },
};

/**
 * Seamless': the same of sound times 2^15 with Povey's window, each filter with mean 0 and variance 1 over
 * the clip, `stride` frames side by side.
 * Reference: transformers/models/seamless_m4t/feature_extraction_seamless_m4t.py
 */
export const seamlessFeatures: ExtractorKind = {
  names: ["SeamlessM4TFeatureExtractor"],
  read(settings): Extractor {
    const banks = banksOf(settings, 80, 0.85);
    const stride = settings.whole("stride", 2, 1, 64);
    const isMasked = settings.flag("return_attention_mask", true);
    const padder = { side: settings.side("padding_side"), value: settings.number("padding_value", 0) };
    const width = banks.filters.length;
    return {
      ...{ samplingRate: rateOf(settings), column: "inputFeatures", window: undefined },
      extract(waves, { doNormalize = true, returnAttentionMask = isMasked, ...options }) {
        const rows = waves.map((wave) => {
          const loud = filterBanks(
            wave.map((x) => x * 2 ** 15),
            banks,
          );
          return doNormalize ? normalizedBands(loud, width) : loud;
        });
        const padded = padRows(rows, width, padder, { padToMultipleOf: 2, ...options });
        const steps = Math.floor(padded.length / stride);
        const data = new Float32Array(waves.length * steps * stride * width);
        for (let i = 0; i < waves.length; i++) {
          const from = i * padded.length * width;
          data.set(padded.data.subarray(from, from + steps * stride * width), i * steps * stride * width);
        }
        const mask = Int32Array.from({ length: waves.length * steps }, (_, k) => {
          const [row, step] = [Math.floor(k / steps), k % steps];
          return padded.mask[row * padded.length + step * stride + Math.min(1, stride - 1)] ?? 0;
        });
        return {
          inputFeatures: { data, shape: [waves.length, steps, stride * width] },
          ...maskOf(returnAttentionMask, mask, waves.length),
        };
      },
    };
  },
};

function rateOf(settings: Settings): number {
  return settings.whole("sampling_rate", 16000, RATES.least, RATES.most);
}

/** @param power of the Hann window: 1, or Povey's 0.85 */
function banksOf(settings: Settings, mels: number, power: number): Banks {
  const samplingRate = rateOf(settings);
  const [length, hop] = [Math.floor(samplingRate * 0.025), Math.floor(samplingRate * 0.01)];
  const hann = (i: number): number => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / (length - 1));
  const points = 2 ** Math.ceil(Math.log2(length));
  return {
    ...{ length, hop, window: Float64Array.from({ length }, (_, i) => hann(i) ** power) },
    transform: fourier(points),
    filters: kaldiFilters({
      ...{ bins: points / 2 + 1, filters: settings.whole("num_mel_bins", mels, 1, 1024), samplingRate },
      ...{ lowest: 20, highest: Math.floor(samplingRate / 2) },
    }),
  };
}

/** Frames that lie in the sound as a whole: mean taken off, pre-emphasis, window. Out: [frames, filters] */
function filterBanks(wave: Float32Array, { length, hop, window, transform, filters }: Banks): Float32Array {
  const frames = wave.length < length ? 0 : 1 + Math.floor((wave.length - length) / hop);
  const out = new Float32Array(frames * filters.length);
  const fill = (into: Float64Array, frame: number): void => {
    let mean = 0;
    for (let i = 0; i < length; i++) mean += (wave[frame * hop + i] ?? 0) / length;
    let before = (wave[frame * hop] ?? 0) - mean;
    for (let i = 0; i < length; i++) {
      const sample = (wave[frame * hop + i] ?? 0) - mean;
      into[i] = (sample - PREEMPHASIS * before) * (window[i] ?? 0);
      before = sample;
    }
  };
  energies({ fourier: transform, filters, fill }, frames, (frame, energy) => {
    for (const [f, e] of energy.entries()) out[frame * filters.length + f] = Math.log(Math.max(e, FLOOR));
  });
  return out;
}

/** Each band with mean 0 and variance 1, over n - 1. */
function normalizedBands(x: Float32Array, width: number): Float32Array {
  const frames = x.length / width;
  const out = new Float32Array(x.length);
  for (let band = 0; band < width; band++) {
    let [mean, variance] = [0, 0];
    for (let i = band; i < x.length; i += width) mean += (x[i] ?? 0) / frames;
    for (let i = band; i < x.length; i += width) variance += ((x[i] ?? 0) - mean) ** 2;
    const factor = 1 / Math.sqrt(variance / Math.max(1, frames - 1) + 1e-7);
    for (let i = band; i < x.length; i += width) out[i] = ((x[i] ?? 0) - mean) * factor;
  }
  return out;
}
