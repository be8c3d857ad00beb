import type { MediaKind } from "../media.js";
import { augmented } from "./augment.js";
import type { ImageSettings } from "./image_settings.js";
import { type ImageSource, readImage } from "./image_source.js";
import { normalize, type Pixels, pixelsOf, stack } from "./pixels.js";

/** `pixelValues` [rows, 3, height, width]. */
export const pictureRows: MediaKind<ImageSettings, Pixels> = {
  async row(source, name, settings, change) {
    const image = await readImage(source as ImageSource, { name });
    if (change === undefined) return pixelsOf(image, settings);
    return normalize(augmented(image, settings, change.augmentation, change.key), settings);
  },
  join: (rows) => ({ pixelValues: stack(rows, Float32Array) }),
};
