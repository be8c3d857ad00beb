import { expectArgument, refuseUnknown } from "../../arguments.js";
import { PeftError } from "../../errors.js";
import { nodeFiles } from "../../hub/files.js";
import { isRecord } from "../../narrow.js";
import { at } from "../../present.js";
import { decodeImage } from "./decode.js";
import { type ImageSettings, imageSettings } from "./image_settings.js";
import { classMap, pixelsOf } from "./pixels.js";
import { expectImage, type RawImage } from "./raw_image.js";

/** A picture: its file's path, the file's bytes, both of them as data sets store them, or its pixels. */
export type ImageSource =
  | string
  | Uint8Array
  | { readonly bytes?: Uint8Array | null | undefined; readonly path?: string | null | undefined }
  | RawImage;

/** Pictures as a model reads them. */
export interface ImageFeatures {
  /** [rows, 3, height, width] */
  readonly pixelValues: { readonly data: Float32Array; readonly shape: readonly number[] };
  /** Class ids of segmentation maps, [rows, height, width]. */
  readonly labels?: { readonly data: Int32Array; readonly shape: readonly number[] };
}

/** What is made of pictures, beside the pictures. */
export interface PreprocessOptions {
  /** Pictures whose levels are class ids, one for each picture. */
  readonly segmentationMaps?: readonly ImageSource[] | undefined;
}

/**
 * Makes of pictures what a model reads: as transformers' processors with Pillow, to the bit from equal
 * pixels. A file is turned as its EXIF data say.
 */
export class ImageProcessor {
  /** What preprocessor_config.json says. */
  readonly settings: ImageSettings;

  /**
   * @param config the content of a preprocessor_config.json
   * @param path its name in errors
   * @throws "file-format"
   */
  constructor(
    config: Readonly<Record<string, unknown>>,
    path = "preprocessor_config.json",
    modelType?: string,
  ) {
    this.settings = imageSettings(config, path, modelType);
  }

  /**
   * Pictures as one batch.
   * @throws "data" where one cannot be read, or they come out in several sizes
   */
  async preprocess(
    images: ImageSource | readonly ImageSource[],
    options: PreprocessOptions = {},
  ): Promise<ImageFeatures> {
    refuseUnknown("ImageProcessor.preprocess", options, { segmentationMaps: {} });
    const list = Array.isArray(images) ? images : [images];
    const pixels = [];
    for (const image of list) pixels.push(pixelsOf(await readImage(image), this.settings));
    const pixelValues = stack(pixels, Float32Array);
    if (options.segmentationMaps === undefined) return { pixelValues };
    const maps = [];
    for (const map of options.segmentationMaps)
      maps.push(classMap(expectMap(await readImage(map, "stored")), this.settings));
    return { pixelValues, labels: stack(maps, Int32Array) };
  }
}

/**
 * A picture's pixels. Red, green and blue of an upright picture by default; `stored`: as its file has them.
 * @throws "data" where it cannot be read
 */
export async function readImage(
  source: ImageSource,
  as: "upright" | "stored" = "upright",
): Promise<RawImage> {
  if (isRecord(source) && "width" in source) return expectImage(source as RawImage);
  const { bytes, at: name } = await imageBytes(source as Exclude<ImageSource, RawImage>);
  return decodeImage(bytes, { as, at: name });
}

/** A file's bytes, and its name for errors. Throws "data", "file-format". */
export async function imageBytes(
  source: Exclude<ImageSource, RawImage>,
): Promise<{ bytes: Uint8Array; at: string }> {
  if (source instanceof Uint8Array) return { bytes: source, at: "the picture" };
  const { bytes, path } = typeof source === "string" ? { bytes: undefined, path: source } : (source ?? {});
  if (bytes instanceof Uint8Array) return { bytes, at: typeof path === "string" ? path : "the picture" };
  expectArgument("readImage", source, {
    is: typeof path === "string",
    wants: "a picture",
    fix: "give a path, the bytes of a file, or { data, width, height, channels }.",
  });
  const name = String(path);
  return { bytes: await nodeFiles.read(name, 0, await nodeFiles.size(name)), at: name };
}

function expectMap(map: RawImage): RawImage {
  if (map.channels === 1) return map;
  throw new PeftError("data", {
    what: `A segmentation map has ${map.channels} channels.`,
    why: "its levels are class ids, one a pixel: a gray picture.",
    fix: "save it as a gray PNG.",
  });
}

/** Arrays of one shape as one, with the rows in front. */
function stack<T extends Float32Array | Int32Array>(
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
