import { refuseUnknown } from "../../arguments.js";
import { PeftError } from "../../errors.js";
import type { MediaJob, RowProcessor } from "../media.js";
import { AUGMENTATIONS, type AugmentationName } from "./augment.js";
import { type ImageSettings, imageSettings } from "./image_settings.js";
import { type ImageSource, readImage } from "./image_source.js";
import { classMap, pixelsOf, stack } from "./pixels.js";
import type { RawImage } from "./raw_image.js";

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
export class ImageProcessor implements RowProcessor {
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

  get job(): MediaJob {
    return { kind: "picture", settings: this.settings };
  }

  get dims(): Readonly<Record<string, number>> | undefined {
    const { size, crop } = this.settings;
    const fixed = crop ?? (size !== undefined && "height" in size ? size : undefined);
    return fixed && { height: fixed.height, width: fixed.width };
  }

  get augmentations(): readonly AugmentationName[] {
    return AUGMENTATIONS;
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
      maps.push(classMap(expectMap(await readImage(map, { as: "stored" })), this.settings));
    return { pixelValues, labels: stack(maps, Int32Array) };
  }
}

function expectMap(map: RawImage): RawImage {
  if (map.channels === 1) return map;
  throw new PeftError("data", {
    what: `A segmentation map has ${map.channels} channels.`,
    why: "its levels are class ids, one a pixel: a gray picture.",
    fix: "save it as a gray PNG.",
  });
}
