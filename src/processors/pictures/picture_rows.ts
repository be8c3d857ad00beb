import { at } from "../../present.js";
import type { MediaKind } from "../columns.js";
import { type Augmentation, augmented } from "./augment.js";
import { type ImageSource, readImage } from "./image_source.js";
import type { ImageSettings } from "./image_settings.js";
import { normalize, type Pixels, pixelsOf, stack } from "./pixels.js";

/** What is made of pictures: as the model's processor does, with random changes where rows have keys. */
export interface PictureSettings {
  readonly image: ImageSettings;
  readonly augmentation?: Augmentation | undefined;
}

/** `pixelValues` [rows, 3, height, width]. */
export const pictureRows: MediaKind<PictureSettings, Pixels> = {
  async row(source, name, { image: settings, augmentation }, key) {
    const image = await readImage(source as ImageSource, { name });
    if (key === undefined || augmentation === undefined) return pixelsOf(image, settings);
    return normalize(augmented(image, settings, augmentation, key), settings);
  },
  join: (rows) => ({ pixelValues: stack(rows, Float32Array) }),
};
