import { below, type Random, random, shuffled, uniform } from "../../random.js";
import { blendGray, blendLevel, type ColorChange, saturate } from "./colors.js";
import type { ImageSettings } from "./image_settings.js";
import { centerCrop, shape, sizeAfter } from "./pixels.js";
import { type RawImage, toRgb } from "./raw_image.js";
import { type Region, resize } from "./resize.js";
import { trivialChange } from "./trivial.js";

/** Random changes of pictures in training, by their names. */
export const AUGMENTATIONS = ["crop", "flip", "color", "trivial"] as const;

/**
 * - crop: a part of 8 to 100 percent of the picture, with sides of up to 4 to 3, in place of its center
 * - flip: left and right are swapped, every other time
 * - color: brightness, contrast and saturation change by up to 40 percent
 * - trivial: one change out of fourteen, of a random strength (TrivialAugment, arXiv 2103.10158)
 */
export type AugmentationName = (typeof AUGMENTATIONS)[number];

/**
 * A picture as the model sees it, changed at random; the same key gives the same picture.
 * @param changes those that are made, in the order of `AUGMENTATIONS`
 * Reference: torchvision/transforms/v2
 */
export function augmented(
  image: RawImage,
  settings: ImageSettings,
  changes: readonly string[],
  key: number,
): RawImage {
  const next = random(key);
  const rgb = toRgb(image, "white");
  let changed = changes.includes("crop") ? randomPart(rgb, settings, next) : shape(rgb, settings);
  if (changes.includes("flip") && uniform(next) < 0.5) changed = mirrored(changed);
  if (changes.includes("color")) changed = jittered(changed, next);
  return changes.includes("trivial") ? trivialChange(changed, next) : changed;
}

/** Shares of a picture's area that a part has, and bounds of its width to its height. */
const [AREA, RATIO] = [[0.08, 1] as const, [3 / 4, 4 / 3] as const];

/** RandomResizedCrop: a random part in the size that the model reads. */
function randomPart(image: RawImage, settings: ImageSettings, next: Random): RawImage {
  const whole = sizeAfter(image, settings.size);
  const { height, width } = settings.crop ?? whole;
  return resize(partOf(image, drawPart(image, next)), { height, width }, settings.resample);
}

/** Ten tries; after these the center, in the nearest proportions that are allowed. */
function drawPart({ height, width }: RawImage, next: Random): Region {
  for (let i = 0; i < 10; i++) {
    const area = between(next, ...AREA) * height * width;
    const ratio = Math.exp(between(next, Math.log(RATIO[0]), Math.log(RATIO[1])));
    const [w, h] = [Math.round(Math.sqrt(area * ratio)), Math.round(Math.sqrt(area / ratio))];
    if (w < 1 || h < 1 || w > width || h > height) continue;
    return { left: below(next, width - w + 1), top: below(next, height - h + 1), width: w, height: h };
  }
  const ratio = Math.min(Math.max(width / height, RATIO[0]), RATIO[1]);
  const w = Math.max(1, Math.min(width, Math.round(height * ratio)));
  const h = Math.max(1, Math.min(height, Math.round(width / ratio)));
  return centerCrop({ height, width }, { height: h, width: w });
}

function between(next: Random, low: number, high: number): number {
  return low + (high - low) * uniform(next);
}

function partOf({ data, width, channels }: RawImage, part: Region): RawImage {
  const row = part.width * channels;
  const out = new Uint8Array(part.height * row);
  for (let y = 0; y < part.height; y++) {
    const from = ((part.top + y) * width + part.left) * channels;
    out.set(data.subarray(from, from + row), y * row);
  }
  return { data: out, width: part.width, height: part.height, channels };
}

function mirrored(image: RawImage): RawImage {
  const { data, width, height, channels } = image;
  const out = new Uint8Array(data.length);
  for (let y = 0, to = 0; y < height; y++)
    for (let x = width - 1; x >= 0; x--)
      for (let c = 0; c < channels; c++) out[to++] = data[(y * width + x) * channels + c] ?? 0;
  return { ...image, data: out };
}

/** ColorJitter: by how much each of the three changes, in a random order. */
const JITTER = 0.4;

function jittered(image: RawImage, next: Random): RawImage {
  const changes: readonly ColorChange[] = shuffled([blendLevel(0), blendGray, saturate], next);
  return changes.reduce((made, change) => change(made, between(next, 1 - JITTER, 1 + JITTER)), image);
}
