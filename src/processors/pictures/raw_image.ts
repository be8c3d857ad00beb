import { PeftError } from "../../errors.js";

/** A picture as numbers, row by row: gray, gray with alpha, red-green-blue, or that with alpha. */
export interface RawImage {
  /** [height, width, channels] */
  readonly data: Uint8Array;
  /** Pixels. */
  readonly width: number;
  /** Pixels. */
  readonly height: number;
  readonly channels: 1 | 2 | 3 | 4;
}

/** Throws "data" where a picture's numbers do not fill its size. */
export function expectImage(image: RawImage): RawImage {
  const { data, width, height, channels } = image;
  const isSize =
    [width, height].every((n) => Number.isInteger(n) && n > 0) && [1, 2, 3, 4].includes(channels);
  if (isSize && data instanceof Uint8Array && data.length === width * height * channels) return image;
  throw new PeftError("data", {
    what: `A picture of ${width} x ${height} pixels with ${channels} channels has ${data?.length} numbers.`,
    why: "its data has one byte for each channel of each pixel, row by row.",
    fix: "give { data: Uint8Array, width, height, channels } with channels from 1 to 4.",
  });
}

/**
 * Red, green and blue, as Pillow's convert("RGB") and transformers' convert_to_rgb make them.
 * @param alpha transparent parts lie over white, or show the color that is stored for them
 */
export function toRgb(image: RawImage, alpha: "white" | "drop"): RawImage {
  const { data, width, height, channels } = image;
  if (channels === 3) return image;
  const out = new Uint8Array(width * height * 3);
  const isGray = channels < 3;
  const hasAlpha = channels % 2 === 0;
  for (let from = 0, to = 0; from < data.length; from += channels)
    for (let c = 0; c < 3; c++) {
      const color = data[from + (isGray ? 0 : c)] ?? 0;
      const a = data[from + channels - 1] ?? 0;
      out[to++] = hasAlpha && alpha === "white" ? overWhite(color, a) : color;
    }
  return { data: out, width, height, channels: 3 };
}

/** Pillow's alpha_composite over opaque white: weights of 15 bits, and a division by 255 that rounds. */
function overWhite(color: number, alpha: number): number {
  if (alpha === 0) return 255;
  const weight = alpha * 128;
  const sum = color * weight + 255 * (255 * 128 - weight) + 128 * 128;
  return (((sum >>> 8) + sum) >>> 8) >>> 7;
}

/** EXIF's eight ways to hold a camera, undone. */
export function turnUpright(image: RawImage, orientation: number): RawImage {
  if (!(orientation > 1 && orientation <= 8)) return image;
  const { data, width, height, channels } = image;
  const swaps = orientation > 4;
  const [w, h] = swaps ? [height, width] : [width, height];
  const out = new Uint8Array(data.length);
  const fromRight = [2, 3, 7, 8].includes(orientation);
  const fromBottom = [3, 4, 6, 7].includes(orientation);
  for (let y = 0, to = 0; y < h; y++)
    for (let x = 0; x < w; x++) {
      const [u, v] = swaps ? [y, x] : [x, y]; // where the pixel lies along the stored width and height
      const column = fromRight ? width - 1 - u : u;
      const row = fromBottom ? height - 1 - v : v;
      const from = (row * width + column) * channels;
      for (let c = 0; c < channels; c++) out[to++] = data[from + c] ?? 0;
    }
  return { data: out, width: w, height: h, channels };
}
