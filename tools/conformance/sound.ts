import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { FeatureOptions, SoundFeatures } from "../../src/processors/sound/extractor.js";
import { featureExtractor, isOfSound } from "../../src/processors/sound/kinds.js";
import { decode, loadAudio } from "../../src/processors/sound/load.js";
import { slaneyFilters } from "../../src/processors/sound/mel.js";
import { mono } from "../../src/processors/sound/recording.js";
import { resample, SINC_HANN } from "../../src/processors/sound/resample.js";
import { json } from "./files.js";
import type { CaseResult } from "./result.js";
import { eachFolder, one, type Section } from "./section.js";
import type { Check, KitTensor } from "./tensors.js";
import { compare, Expected, equal, exact, readTensors } from "./tensors.js";

/** Limits of inputs/audio: what is decoded, torchaudio's formula, soxr's (largest, and of the root mean square). */
const LIMITS = { mp3: 1e-4, sinc: 4e-5, soxr: 0.02, soxrNorm: 0.015 };

/** Files of sound: what they hold, their channels' mean, their sound at 16000 Hz. */
export async function runSoundFiles(folder: string): Promise<CaseResult> {
  const expected = await Expected.open(join(folder, "held.safetensors"));
  const facts = json<Record<string, { rate: number; channels: number; samples: number }>>(
    join(folder, "held.json"),
  );
  const checks: Check[] = [];
  for (const [name, { rate, channels, samples }] of Object.entries(facts)) {
    const path = join(folder, name);
    const recording = await decode(new Uint8Array(readFileSync(path)), name);
    const { samplingRate, data } = recording;
    const found = [samplingRate, recording.channels, data.length / recording.channels];
    checks.push(equal(`facts.${name}`, found, [rate, channels, samples]));
    const within = name.endsWith(".mp3") ? LIMITS.mp3 : 1e-9;
    const shape = channels === 1 ? [samples] : [samples, channels];
    checks.push(compare(`held.${name}`, { shape, data }, expected.get(`held.${name}`), within));
    const { array } = mono(recording, name);
    const own = (key: string, sound: Float32Array, limit: number): Check =>
      compare(key, { shape: [sound.length], data: sound }, expected.get(key), limit);
    if (channels > 1) checks.push(own(`mono.${name}`, array, within));
    if (rate === 16000) continue;
    checks.push(own(`sinc.${name}`, resample(array, rate, 16000, SINC_HANN), LIMITS.sinc));
    const { array: loaded } = await loadAudio(path, { samplingRate: 16000 });
    checks.push(own(`soxr.${name}`, loaded, LIMITS.soxr));
    checks.push(nearInNorm(`soxrNorm.${name}`, loaded, expected.get(`soxr.${name}`)));
  }
  return {
    checks: [...checks, ...expected.unread.map((key) => exact(`unknown.${key}`, false, "nothing checks it"))],
  };
}

/** The root mean square of the difference as a share of that of the sound. */
function nearInNorm(key: string, got: Float32Array, expected: KitTensor | undefined): Check {
  let [off, all] = [0, 0];
  for (const [i, x] of (expected?.data ?? []).entries()) {
    off += ((got[i] ?? 0) - x) ** 2;
    all += x ** 2;
  }
  return { key, share: Math.sqrt(off / all) / LIMITS.soxrNorm, within: LIMITS.soxrNorm };
}

interface Call {
  readonly waves: readonly string[];
  readonly options: Readonly<Record<string, unknown>>;
}

/** One feature extractor of processors/: every call of calls.json. */
export async function runExtractor(kit: string, name: string): Promise<CaseResult> {
  const folder = join(kit, "processors", name);
  const path = join(folder, "preprocessor_config.json");
  const extractor = featureExtractor(json<Record<string, unknown>>(path), path);
  const expected = await Expected.open(join(folder, "expect.safetensors"));
  const waves = await readTensors(join(kit, "inputs", "audio", "waves.safetensors"));
  const checks: Check[] = [];
  for (const [call, { waves: names, options }] of Object.entries(
    json<Record<string, Call>>(join(folder, "calls.json")),
  )) {
    const sounds = names.map((wave) => {
      const { data } = waves.get(`${wave}.${extractor.samplingRate}`)!;
      return Float32Array.from(data, (x) => x / 2 ** 15);
    });
    checks.push(...checksOf(call, extractor(sounds, inOurNames(options)), expected));
  }
  return {
    checks: [...checks, ...expected.unread.map((key) => exact(`unknown.${key}`, false, "nothing checks it"))],
  };
}

const KEYS = { inputFeatures: "input_features", inputValues: "input_values" } as const;

function checksOf(call: string, { attentionMask, ...columns }: SoundFeatures, expected: Expected): Check[] {
  const checks: Check[] = [];
  for (const [name, key] of Object.entries(KEYS)) {
    const column = columns[name as keyof typeof KEYS];
    if (column === undefined) continue;
    const within = name === "inputFeatures" || column.shape.length === 3 ? 2e-4 : 1e-5;
    const whole = expected.get(`${call}.${key}.shape`);
    if (whole !== undefined) checks.push(equal(`shape.${call}`, column.shape, [...whole.data]));
    const shown = whole === undefined ? column : ends(column);
    checks.push(compare(`features.${call}`, shown, expected.get(`${call}.${key}`), within));
  }
  const key = `${call}.attention_mask`;
  if (expected.has(key)) {
    const wanted = expected.get(key)!;
    checks.push(equal(`mask.${call}`, [...(attentionMask?.data ?? [])], [...wanted.data]));
  } else checks.push(exact(`mask.${call}`, attentionMask === undefined, "a mask that nobody asked for"));
  return checks;
}

/** Frames 0 to 39 and the last 4, of [rows, mels, frames]. */
function ends({ data, shape }: NonNullable<SoundFeatures["inputFeatures"]>): {
  data: number[];
  shape: number[];
} {
  const [rows = 0, mels = 0, frames = 0] = shape;
  const out: number[] = [];
  for (let i = 0; i < rows * mels; i++)
    out.push(
      ...data.subarray(i * frames, i * frames + 40),
      ...data.subarray((i + 1) * frames - 4, (i + 1) * frames),
    );
  return { data: out, shape: [rows, mels, 44] };
}

function inOurNames(options: Call["options"]): FeatureOptions {
  const camel = (key: string): string => key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  const known = Object.entries(options).filter(([, value]) => value !== null);
  return Object.fromEntries(known.map(([key, value]) => [camel(key), value]));
}

/** Whisper's mel filters, [bins, filters]. */
export async function runMelFilters(path: string): Promise<CaseResult> {
  const expected = await Expected.open(path);
  const checks = [80, 128].map((mels) => {
    const range = { samplingRate: 16000, lowest: 0, highest: 8000 };
    const filters = slaneyFilters({ bins: 201, filters: mels, ...range });
    const data = new Float64Array(201 * mels);
    for (const [f, { first, weights }] of filters.entries())
      for (const [k, weight] of weights.entries()) data[(first + k) * mels + f] = weight;
    return compare(`filters.mel.${mels}`, { shape: [201, mels], data }, expected.get(`mel.${mels}`), 1e-7);
  });
  return { checks };
}

/** Files of sound, and their feature extractors. */
export const soundSections: readonly Section[] = [
  one("inputs/audio", (kit) => runSoundFiles(join(kit, "inputs", "audio"))),
  one("processors/mel.safetensors", (kit) => runMelFilters(join(kit, "processors", "mel.safetensors"))),
  eachFolder("processors", (kit, name) => runExtractor(kit, name), "processors/", isExtractor),
];

function isExtractor(kit: string, name: string): boolean {
  const path = join(kit, "processors", name, "preprocessor_config.json");
  return existsSync(path) && isOfSound(json<Record<string, unknown>>(path));
}
