import { PeftError } from "../../errors.js";
import { at } from "../../present.js";
import type { ImageSettings } from "./image_settings.js";
import { type RawImage, toRgb } from "./raw_image.js";
import { type Region, type Resample, resize, type Size } from "./resize.js";

/** Halves to the even number, as Python rounds. */
function roundEven(x: number): number {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}

/** The size that a rule gives a picture. Reference: transformers/image_transforms.py */
export function sizeAfter({ height, width }: Size, rule: ImageSettings["size"]): Size {
  if (rule === undefined) return { height, width };
  if ("height" in rule) return rule;
  const { shortestEdge, longestEdge = Infinity } = rule;
  const [short, long] = [Math.min(height, width), Math.max(height, width)];
  const isBounded = (long / short) * shortestEdge > longestEdge;
  const exact = isBounded ? (longestEdge * short) / long : shortestEdge;
  const edge = isBounded ? roundEven(exact) : shortestEdge;
  if (edge === short) return { height, width };
  const other = Math.trunc((exact * long) / short);
  return width < height ? { height: other, width: edge } : { height: edge, width: other };
}

/** What a center crop takes of a picture; where that is smaller, it begins before the picture does. */
export function centerCrop({ height, width }: Size, crop: Size = { height, width }): Region {
  const begin = (whole: number, part: number): number => Math.floor((whole - part) / 2);
  return { left: begin(width, crop.width), top: begin(height, crop.height), ...crop };
}

/** The picture that a model sees, before it becomes numbers: resized, and its center cut out. */
export function shape(image: RawImage, { size, crop, resample }: ImageSettings): RawImage {
  const resized = sizeAfter(image, size);
  const part = centerCrop(resized, crop);
  if (resized.height >= 1 && resized.width >= 1 && part.height * part.width <= MOST_PIXELS)
    return cut(image, resized, part, resample);
  throw new PeftError("data", {
    what: `A picture of ${image.width} x ${image.height} pixels would be resized to ${resized.width} x ${resized.height}.`,
    why: "its shortest edge is resized to what the model reads, and the other one is far longer or shorter.",
    fix: "cut it into parts, or leave it out.",
  });
}

/** A part of a resized picture, black around it. */
function cut(image: RawImage, size: Size, part: Region, resample: Resample): RawImage {
  const left = Math.max(0, part.left);
  const top = Math.max(0, part.top);
  const width = Math.min(size.width, part.left + part.width) - left;
  const height = Math.min(size.height, part.top + part.height) - top;
  const inner = resize(image, size, resample, { left, top, width, height });
  if (width === part.width && height === part.height) return inner;
  const { channels } = image;
  const out = new Uint8Array(part.width * part.height * channels);
  for (let y = 0; y < height; y++) {
    const line = inner.data.subarray(y * width * channels, (y + 1) * width * channels);
    out.set(line, ((y + top - part.top) * part.width + left - part.left) * channels);
  }
  return { data: out, width: part.width, height: part.height, channels };
}

/** Pixels of the largest picture that a model may be given. */
const MOST_PIXELS = 2 ** 26;

/** A picture's numbers, as a model reads them. */
export interface Pixels {
  readonly data: Float32Array;
  readonly shape: readonly [channels: 3, height: number, width: number];
}

/** (level * factor - mean) / std, in f32 as numpy computes it, channels first. */
export function normalize({ data, width, height }: RawImage, settings: ImageSettings): Pixels {
  const { factor, mean, std } = settings;
  const out = new Float32Array(3 * width * height);
  const f = Math.fround;
  for (let c = 0; c < 3; c++) {
    const [m, s] = [f(mean?.[c] ?? 0), f(std?.[c] ?? 1)];
    const values = Float32Array.from({ length: 256 }, (_, level) => f(f(f(level * factor) - m) / s));
    for (let i = c, to = c * width * height, n = data.length; i < n; i += 3) out[to++] = values[data[i]!]!;
  }
  return { data: out, shape: [3, height, width] };
}

/** All of it: a picture as a model reads it. */
export function pixelsOf(image: RawImage, settings: ImageSettings): Pixels {
  return normalize(shape(toRgb(image, "white"), settings), settings);
}

/** A map of classes in the size of the pixels: one class id for each. */
export function classMap(
  map: RawImage,
  settings: ImageSettings,
): { data: Int32Array; shape: [number, number] } {
  const { reduceLabels, treatsMapsAsPictures } = settings;
  const ids = reduceLabels ? map.data.map((id) => (id === 0 || id === 255 ? 255 : id - 1)) : map.data;
  const resample = treatsMapsAsPictures ? settings.resample : 0;
  const { data, height, width } = shape({ ...map, data: ids }, { ...settings, resample });
  return { data: Int32Array.from(data), shape: [height, width] };
}

/** Arrays of one shape as one, with the rows in front. */
export function stack<T extends Float32Array | Int32Array>(
  items: readonly { readonly data: T; readonly shape: readonly number[] }[],
  list: { new (length: number): T },
): { data: T; shape: number[] } {
  const { data, shape } = at(items, 0);
  const out = new list(items.length * data.length);
  for (const [i, item] of items.entries()) {
    if (`${item.shape}` !== `${shape}`)
      throw new PeftError("data", {
        what: `Pictures of a batch are [${shape}] and [${item.shape}].`,
        why: "this processor keeps their proportions, and a batch has one size.",
        fix: "give one picture at a time, or pictures of one size.",
      });
    out.set(item.data, i * data.length);
  }
  return { data: out, shape: [items.length, ...shape] };
}
