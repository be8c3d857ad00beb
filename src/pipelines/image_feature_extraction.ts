import { internal } from "../errors.js";
import type { ImageSource } from "../processors/pictures/image_source.js";
import type { PipelineDefinition } from "./definition.js";
import type { PartLogits } from "./forward.js";
import {
  forwardPictures,
  isImageSource,
  type PictureOptions,
  pictureDefaults,
  picturePart,
  wantsPicture,
} from "./picture_input.js";

/** A picture's last hidden states. */
export interface ImageFeatureRows {
  readonly data: Float32Array;
  readonly shape: readonly [tokens: number, hidden: number];
}

type Definition = PipelineDefinition<ImageSource, ImageFeatureRows, PictureOptions, PartLogits>;

/** Pictures to hidden states. Reference: transformers/pipelines/image_feature_extraction.py */
export const imageFeatureExtraction: Definition = {
  names: ["image-feature-extraction"],
  task: "FEATURE_EXTRACTION",
  options: { imageProcessor: {} },
  wants: wantsPicture,
  isInput: isImageSource,
  defaults: pictureDefaults,
  parts: (source) => [picturePart(source)],
  compute: forwardPictures,
  output(_opened, _parts, [states]) {
    const { logits: data, outputs } = states ?? internal("no states");
    return { data, shape: [data.length / outputs, outputs] };
  },
  window: 4,
};
