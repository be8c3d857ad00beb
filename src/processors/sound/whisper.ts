import {
  type Extractor,
  type ExtractorKind,
  type FeatureOptions,
  maskOf,
  type SoundFeatures,
} from "./extractor.js";
import { fourier, MOST_POINTS } from "./fourier.js";
import { slaneyFilters } from "./mel.js";
import { RATES } from "./recording.js";
import { normalized, type Padder, padRows } from "./rows.js";
import { energies } from "./spectrum.js";

/**
 * Whisper's log-mel spectrogram: frames of nFft samples every hop, the sound mirrored at both ends; Hann
 * window, |FFT|^2, mel filters up to 8000 Hz, log10 of at least 1e-10, nothing more than 8 below the clip's
 * loudest, (x + 4) / 4. Sound is padded to the window (30 s), or cut.
 * Reference: transformers/models/whisper/feature_extraction_whisper.py
 */
export const whisperFeatures: ExtractorKind = {
  names: ["WhisperFeatureExtractor"],
  read(settings): Extractor {
    const samplingRate = settings.whole("sampling_rate", 16000, RATES.least, RATES.most);
    const seconds = settings.whole("chunk_length", 30, 1, 3600);
    const spectrogram: Spectrogram = {
      ...logMel(
        samplingRate,
        settings.whole("feature_size", 80, 1, 1024),
        settings.whole("n_fft", 400, 2, MOST_POINTS),
      ),
      isMasked: settings.flag("return_attention_mask", false),
      hop: settings.whole("hop_length", 160, 1, MOST_POINTS),
      padder: { side: settings.side("padding_side"), value: settings.number("padding_value", 0) },
    };
    const isNormalized = settings.flag("do_normalize", false);
    return {
      ...{ samplingRate, column: "inputFeatures", window: seconds },
      dims: {
        mels: spectrogram.filters.length,
        frames: Math.floor((seconds * samplingRate) / spectrogram.hop),
      },
      extract: (waves, options) =>
        features(spectrogram, waves, {
          ...{ padding: "max_length", truncation: true, maxLength: seconds * samplingRate },
          doNormalize: isNormalized,
          ...options,
        }),
    };
  },
};

interface Spectrogram {
  readonly transform: ReturnType<typeof fourier>;
  readonly window: Float64Array; // [nFft]
  readonly filters: ReturnType<typeof slaneyFilters>;
  readonly hop: number;
  readonly padder: Padder;
  readonly isMasked: boolean;
}

function logMel(
  samplingRate: number,
  mels: number,
  nFft: number,
): Pick<Spectrogram, "transform" | "window" | "filters"> {
  const window = Float64Array.from(
    { length: nFft },
    (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / nFft),
  );
  const range = { lowest: 0, highest: 8000 };
  const filters = slaneyFilters({ bins: Math.floor(nFft / 2) + 1, filters: mels, samplingRate, ...range });
  return { transform: fourier(nFft), window, filters };
}

function features(
  spectrogram: Spectrogram,
  waves: readonly Float32Array[],
  { doNormalize = false, returnAttentionMask, ...options }: FeatureOptions,
): SoundFeatures {
  const { padder, hop, filters } = spectrogram;
  // A mask that the file asks for, and no caller, is left as one of samples, as in transformers.
  const isMaskOfSamples = returnAttentionMask === undefined && spectrogram.isMasked;
  const cut = options.truncation && options.maxLength !== undefined ? options.maxLength : Infinity;
  const heard = waves.map((wave) => {
    const whole = wave.length > cut ? wave.subarray(0, cut) : wave;
    return doNormalize ? normalized(whole) : whole;
  });
  const { data, mask, length } = padRows(heard, 1, padder, options);
  const frames = Math.floor(length / hop);
  const all = new Float32Array(waves.length * filters.length * frames);
  for (let i = 0; i < waves.length; i++) {
    const out = all.subarray(i * filters.length * frames, (i + 1) * filters.length * frames);
    writeFrames(spectrogram, data.subarray(i * length, (i + 1) * length), frames, out);
  }
  const every = isMaskOfSamples ? 1 : hop;
  const masked = isMaskOfSamples ? length : frames;
  const rows = Int32Array.from({ length: waves.length * masked }, (_, k) => {
    const [row, place] = [Math.floor(k / masked), k % masked];
    return mask[row * length + place * every] ?? 0;
  });
  return {
    inputFeatures: { data: all, shape: [waves.length, filters.length, frames] },
    ...maskOf(returnAttentionMask ?? isMaskOfSamples, rows, waves.length),
  };
}

/** @param out [mels, frames] */
function writeFrames(
  { transform, window, filters, hop }: Spectrogram,
  wave: Float32Array,
  frames: number,
  out: Float32Array,
): void {
  const half = Math.floor(window.length / 2);
  const fill = (into: Float64Array, frame: number): void => {
    const start = frame * hop - half;
    const isInside = start >= 0 && start + window.length <= wave.length;
    for (let i = 0; i < window.length; i++) {
      const at = isInside ? start + i : mirrored(start + i, wave.length);
      into[i] = window[i]! * wave[at]!;
    }
  };
  // Frames behind the last sound are silent: nothing need be computed, unless the end mirrors it.
  const last = wave.findLastIndex((x) => x !== 0);
  const isMirrored = last + half >= wave.length;
  const heard = isMirrored ? frames : Math.min(frames, Math.ceil((last + 1 + half) / hop));
  out.fill(-10);
  let loudest = -10;
  energies({ fourier: transform, filters, fill }, heard, (frame, energy) => {
    for (let m = 0; m < energy.length; m++) {
      const value = Math.log10(Math.max(energy[m]!, 1e-10));
      out[m * frames + frame] = value;
      if (value > loudest) loudest = value;
    }
  });
  for (let i = 0; i < out.length; i++) out[i] = (Math.max(out[i]!, loudest - 8) + 4) / 4;
}

/** A place beyond the ends, mirrored at them. */
function mirrored(at: number, length: number): number {
  if (length < 2) return 0;
  const turn = 2 * (length - 1);
  const inside = ((at % turn) + turn) % turn;
  return inside < length ? inside : turn - inside;
}
