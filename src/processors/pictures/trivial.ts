import { below, type Random, uniform } from "../../random.js";
import {
  blendGray,
  blendLevel,
  equalize,
  posterize,
  saturate,
  sharpen,
  solarize,
  stretch,
} from "./colors.js";
import type { RawImage } from "./raw_image.js";

/** Strengths that are drawn from, 0 to 30. */
const BINS = 31;

/** A change of a picture by a strength from 0 to 1, and by a sign. */
type Change = (image: RawImage, strength: number, sign: 1 | -1) => RawImage;

/** The wide space of TrivialAugment (arXiv 2103.10158). Reference: torchvision's TrivialAugmentWide */
const changes: readonly Change[] = [
  (image) => image,
  (image, s, sign) => moved(image, [1, sign * 0.99 * s, 0, 0, 1, 0], "corner"),
  (image, s, sign) => moved(image, [1, 0, 0, sign * 0.99 * s, 1, 0], "corner"),
  (image, s, sign) => moved(image, [1, 0, -sign * Math.trunc(32 * s), 0, 1, 0], "corner"),
  (image, s, sign) => moved(image, [1, 0, 0, 0, 1, -sign * Math.trunc(32 * s)], "corner"),
  (image, s, sign) => rotated(image, (sign * 135 * s * Math.PI) / 180),
  (image, s, sign) => blendLevel(0)(image, 1 + sign * 0.99 * s),
  (image, s, sign) => saturate(image, 1 + sign * 0.99 * s),
  (image, s, sign) => blendGray(image, 1 + sign * 0.99 * s),
  (image, s, sign) => sharpen(image, 1 + sign * 0.99 * s),
  (image, s) => posterize(image, 8 - Math.round(6 * s)),
  (image, s) => solarize(image, Math.round(255 * (1 - s))),
  stretch,
  equalize,
];

/** One of the changes, with a random strength. */
export function trivialChange(image: RawImage, next: Random): RawImage {
  const change = changes[below(next, changes.length)] ?? ((same: RawImage): RawImage => same);
  return change(image, below(next, BINS) / (BINS - 1), uniform(next) < 0.5 ? 1 : -1);
}

function rotated(image: RawImage, angle: number): RawImage {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return moved(image, [cos, sin, 0, -sin, cos, 0], "center");
}

/** Where a pixel comes from: (a x + b y + c, d x + e y + f), about the corner or the center. */
type Affine = readonly [a: number, b: number, c: number, d: number, e: number, f: number];

/** Each pixel from the nearest one of where it comes from; black from outside. */
function moved(image: RawImage, [a, b, c, d, e, f]: Affine, about: "corner" | "center"): RawImage {
  const { data, width, height } = image;
  const out = new Uint8Array(data.length);
  const [cx, cy] = about === "center" ? [width / 2, height / 2] : [0, 0];
  for (let y = 0, to = 0; y < height; y++)
    for (let x = 0; x < width; x++, to += 3) {
      const [px, py] = [x + 0.5 - cx, y + 0.5 - cy];
      const u = Math.floor(a * px + b * py + c + cx);
      const v = Math.floor(d * px + e * py + f + cy);
      if (u < 0 || v < 0 || u >= width || v >= height) continue;
      const from = (v * width + u) * 3;
      out[to] = data[from]!;
      out[to + 1] = data[from + 1]!;
      out[to + 2] = data[from + 2]!;
    }
  return { ...image, data: out };
}
