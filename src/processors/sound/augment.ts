import { normal, random, uniform } from "../../random.js";
import { resample } from "./resample.js";

/** Random changes of a clip in training. */
export const SOUND_CHANGES = ["speed", "noise", "gain"] as const;

/**
 * A clip changed at random: `speed` plays it 0.9, 1 or 1.1 times as fast (3-way speed perturbation), `gain`
 * makes it up to 6 dB louder or softer, `noise` adds white noise 15 to 40 dB below its own loudness.
 * @param x [samples]
 * @param names which changes are made
 * @param key the same key gives the same change
 */
export function changedSound(x: Float32Array, names: readonly string[], key: number): Float32Array {
  const next = random(key);
  const [speed, gain, ratio] = [uniform(next), uniform(next), uniform(next)];
  // At 1.1 times the speed a clip is what it would be, sampled at 11 where it was at 10.
  const from = [9, 10, 11][Math.floor(3 * speed)] ?? 10;
  const played = names.includes("speed") ? resample(x, from, 10) : x;
  const factor = names.includes("gain") ? 10 ** ((12 * gain - 6) / 20) : 1;
  const loudness = Math.sqrt(played.reduce((sum, sample) => sum + sample * sample, 0) / played.length);
  const noise = names.includes("noise") ? loudness * 10 ** (-(15 + 25 * ratio) / 20) : 0;
  return played.map((sample) => Math.max(-1, Math.min(1, factor * (sample + noise * normal(next)))));
}
