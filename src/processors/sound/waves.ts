import { type Extractor, type ExtractorKind, maskOf } from "./extractor.js";
import { RATES } from "./recording.js";
import { normalized, padRows } from "./rows.js";

/**
 * The samples themselves, with mean 0 and variance 1: (x - mean) / sqrt(variance + 1e-7), over a row's own
 * samples where there is a mask, else over its padding too. Rows are padded to the longest by default.
 * Reference: transformers/models/wav2vec2/feature_extraction_wav2vec2.py
 */
export const waveFeatures: ExtractorKind = {
  names: ["Wav2Vec2FeatureExtractor"],
  read(settings): Extractor {
    const padder = { side: settings.side("padding_side"), value: settings.number("padding_value", 0) };
    const isNormalized = settings.flag("do_normalize", true);
    const isMasked = settings.flag("return_attention_mask", false);
    return {
      samplingRate: settings.whole("sampling_rate", 16000, RATES.least, RATES.most),
      ...{ column: "inputValues", window: undefined },
      extract(waves, { doNormalize = isNormalized, returnAttentionMask = isMasked, ...options }) {
        const { data, mask, length } = padRows(waves, 1, padder, options);
        for (const row of waves.keys()) {
          const all = data.subarray(row * length, (row + 1) * length);
          const own = mask.subarray(row * length, (row + 1) * length);
          const [first, last] = [own.indexOf(1), own.lastIndexOf(1) + 1];
          // Without a mask, padding counts as sound, as in transformers.
          const heard = returnAttentionMask ? all.subarray(first, last) : all;
          if (doNormalize) heard.set(normalized(heard));
        }
        return {
          inputValues: { data, shape: [waves.length, length] },
          ...maskOf(returnAttentionMask, mask, waves.length),
        };
      },
    };
  },
};
