import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { fourier } from "./fourier.js";
import { featureExtractor } from "./kinds.js";
import { resample, SINC_HANN } from "./resample.js";

interface Golden {
  readonly config: Record<string, unknown>;
  readonly shape: number[];
  readonly step: number;
  readonly values: number[];
}

// made by tools/golden/sound.py
const golden = JSON.parse(readFileSync("tests/golden/sound.json", "utf8")) as Record<string, Golden> & {
  resampled: { length: number; values: number[] };
};
const wave = Float32Array.from(
  { length: 1600 },
  (_, i) => 0.5 * Math.sin((i * i) / 900) + 0.2 * Math.cos(i / 3),
);

describe("features of sound are transformers'", () => {
  for (const name of ["whisper", "whisper-odd", "wav2vec2", "ast", "seamless"])
    it(name, () => {
      const { config, shape, step, values } = golden[name]!;
      const { inputFeatures, inputValues } = featureExtractor(config, "preprocessor_config.json")(wave);
      const column = inputFeatures ?? inputValues!;
      expect(column.shape).toEqual(shape);
      const seen = values.map((_, i) => column.data[i * step]!);
      for (const [i, value] of values.entries()) expect(Math.abs(seen[i]! - value)).toBeLessThan(1e-4);
    });
});

describe("a feature extractor", () => {
  const whisper = featureExtractor(golden["whisper"]!.config, "preprocessor_config.json");

  it("resamples sound at another rate", () => {
    const slow = { array: Float32Array.from({ length: 800 }, (_, i) => wave[2 * i]!), samplingRate: 8000 };
    expect(whisper(slow).inputFeatures?.shape).toEqual([1, 8, 100]);
  });

  it("gives the mask of real frames where it is asked for", () => {
    const { attentionMask } = whisper([wave, wave.subarray(0, 320)], { returnAttentionMask: true });
    const rows = [0, 1].map((row) => attentionMask!.data.subarray(row * 100, (row + 1) * 100));
    expect(rows.map((row) => row.indexOf(0))).toEqual([10, 2]);
  });

  it("refuses silence of no samples, NaN, rates that nothing has", () => {
    expect(() => whisper(new Float32Array())).toThrow("it has 0 samples");
    expect(() => whisper(Float32Array.of(0, Number.NaN))).toThrow("NaN");
    for (const samplingRate of [0, -1, 2.5, Number.NaN, 1e9])
      expect(() => whisper({ array: wave, samplingRate })).toThrow(`sampling rate is ${samplingRate}`);
  });

  it("makes finite numbers of silence", () => {
    const { data } = whisper(new Float32Array(800)).inputFeatures!;
    expect(new Set(data)).toEqual(new Set([-1.5]));
  });

  it("names what a file says that it cannot be", () => {
    for (const [key, value] of Object.entries({
      n_fft: 0,
      hop_length: -1,
      feature_size: 1e9,
      sampling_rate: 0,
    }))
      expect(() => featureExtractor({ ...golden["whisper"]!.config, [key]: value }, "p.json")).toThrow(
        `says "${key}": ${value}`,
      );
    expect(() => featureExtractor({ feature_extractor_type: "Other" }, "p.json")).toThrow('"Other"');
  });

  it("takes old files of wav2vec2, which name no class", () => {
    expect(featureExtractor({ do_normalize: true }, "p.json", "wav2vec2").column).toBe("inputValues");
  });
});

describe("resampling", () => {
  it("is torchaudio's formula", () => {
    const seen = resample(wave, 44100, 16000, SINC_HANN);
    expect(seen.length).toBe(golden.resampled.length);
    for (const [i, value] of golden.resampled.values.entries()) expect(seen[i * 20]).toBeCloseTo(value, 5);
  });

  it("keeps a tone below half of the lower rate, and leaves one above out", () => {
    const tone = (hertz: number): Float32Array =>
      Float32Array.from({ length: 9600 }, (_, i) => Math.sin((2 * Math.PI * hertz * i) / 48000));
    const loudest = (x: Float32Array): number => Math.max(...x.subarray(400, -400).map(Math.abs));
    const kept = resample(tone(1000), 48000, 16000);
    for (let i = 400; i < 2800; i++)
      expect(Math.abs(kept[i]! - Math.sin((2 * Math.PI * 1000 * i) / 16000))).toBeLessThan(1e-4);
    expect(loudest(resample(tone(9000), 48000, 16000))).toBeLessThan(1e-4);
  });
});

describe("the Fourier transform", () => {
  it("is its sum, for any length", () => {
    for (const n of [1, 2, 3, 8, 35, 121, 400]) {
      const [re, im] = [wave, wave.subarray(7)].map((x) => Float64Array.from(x.subarray(0, n)));
      const [a, b] = [re!.slice(), im!.slice()];
      fourier(n).transform(re!, im!);
      for (let k = 0; k < n; k++) {
        let [x, y] = [0, 0];
        for (let t = 0; t < n; t++) {
          const [c, s] = [Math.cos((2 * Math.PI * k * t) / n), -Math.sin((2 * Math.PI * k * t) / n)];
          x += a[t]! * c - b[t]! * s;
          y += a[t]! * s + b[t]! * c;
        }
        expect(re![k]).toBeCloseTo(x, 9);
        expect(im![k]).toBeCloseTo(y, 9);
      }
    }
  });
});
