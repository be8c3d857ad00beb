import type { RawImage } from "./raw_image.js";

// Changes of a picture's colors, as Pillow's ImageEnhance and ImageOps make them.

/** Changes colors by a factor: 1 leaves them. */
export type ColorChange = (image: RawImage, factor: number) => RawImage;

/** Pillow's luma. */
function grayOf(r: number, g: number, b: number): number {
  return (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;
}

/** `to + (level - to) * factor`, cut to levels. */
function blend(to: number, level: number, factor: number): number {
  return Math.max(0, Math.min(255, Math.trunc(to + (level - to) * factor)));
}

/** Away from one level: 0 is brightness. */
export function blendLevel(to: number): ColorChange {
  return (image, factor) => ({ ...image, data: image.data.map((level) => blend(to, level, factor)) });
}

/** Contrast: away from the picture's mean gray. */
export const blendGray: ColorChange = (image, factor) => {
  const { data } = image;
  let sum = 0;
  for (let i = 0; i < data.length; i += 3) sum += grayOf(data[i]!, data[i + 1]!, data[i + 2]!);
  return blendLevel(Math.trunc(sum / (data.length / 3) + 0.5))(image, factor);
};

/** Saturation: away from each pixel's gray. */
export const saturate: ColorChange = (image, factor) => {
  const data = new Uint8Array(image.data.length);
  for (let i = 0; i < data.length; i += 3) {
    const [r, g, b] = [image.data[i]!, image.data[i + 1]!, image.data[i + 2]!];
    const gray = grayOf(r, g, b);
    data[i] = blend(gray, r, factor);
    data[i + 1] = blend(gray, g, factor);
    data[i + 2] = blend(gray, b, factor);
  }
  return { ...image, data };
};

/** Sharpness: away from the picture smoothed, whose edges stay as they are. */
export const sharpen: ColorChange = (image, factor) => {
  const { data: from, width, height } = image;
  const data = from.slice();
  const row = width * 3;
  for (let y = 1; y < height - 1; y++)
    for (let i = y * row + 3; i < (y + 1) * row - 3; i++) {
      let sum = 4 * from[i]!;
      for (const dy of [-row, 0, row]) sum += from[i + dy - 3]! + from[i + dy]! + from[i + dy + 3]!;
      data[i] = blend(Math.round(sum / 13), from[i]!, factor);
    }
  return { ...image, data };
};

/** Only the highest bits of levels stay. */
export function posterize(image: RawImage, bits: number): RawImage {
  const mask = 0xff & ~((1 << (8 - bits)) - 1);
  return { ...image, data: image.data.map((level) => level & mask) };
}

/** Levels from a threshold on are inverted. */
export function solarize(image: RawImage, threshold: number): RawImage {
  return { ...image, data: image.data.map((level) => (level < threshold ? level : 255 - level)) };
}

/** Each channel from its darkest to its lightest level is stretched over all levels. */
export function stretch(image: RawImage): RawImage {
  return byChannel(image, (counts) => {
    const low = counts.findIndex((count) => count > 0);
    const high = counts.findLastIndex((count) => count > 0);
    return (level) => (high <= low ? level : Math.round(((level - low) * 255) / (high - low)));
  });
}

/** Each channel's levels become as frequent as each other. */
export function equalize(image: RawImage): RawImage {
  return byChannel(image, (counts) => {
    const used = counts.filter((count) => count > 0);
    const step = Math.trunc((used.reduce((a, b) => a + b, 0) - (used.at(-1) ?? 0)) / 255);
    if (used.length <= 1 || step === 0) return (level) => level;
    let sum = Math.trunc(step / 2);
    const levels = counts.map((count) => {
      const level = Math.min(255, Math.trunc(sum / step));
      sum += count;
      return level;
    });
    return (level) => levels[level] ?? level;
  });
}

function byChannel(
  image: RawImage,
  rule: (counts: readonly number[]) => (level: number) => number,
): RawImage {
  const data = new Uint8Array(image.data.length);
  for (let c = 0; c < 3; c++) {
    const counts = new Array<number>(256).fill(0);
    for (let i = c; i < data.length; i += 3) counts[image.data[i]!]!++;
    const change = rule(counts);
    const levels = Uint8Array.from({ length: 256 }, (_, level) => change(level));
    for (let i = c; i < data.length; i += 3) data[i] = levels[image.data[i]!]!;
  }
  return { ...image, data };
}
