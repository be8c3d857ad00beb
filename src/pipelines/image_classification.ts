import { internal } from "../errors.js";
import type { ImageSource } from "../processors/pictures/image_source.js";
import type { LabelScore } from "../tasks/prediction.js";
import { problemOf } from "../tasks/problem.js";
import type { PipelineDefinition } from "./definition.js";
import { type PartLogits, predict } from "./forward.js";
import {
  forwardPictures,
  isImageSource,
  type PictureOptions,
  pictureDefaults,
  picturePart,
  wantsPicture,
} from "./picture_input.js";

/** How pictures are classified. */
export interface ImageClassificationOptions extends PictureOptions {
  /** How many labels, the likeliest first. @default 5; all of them where a picture may have several */
  readonly topK?: number | undefined;
  /**
   * How scores are made of logits.
   * @default softmax; sigmoid where a picture may have several labels; none for numbers
   */
  readonly functionToApply?: "softmax" | "sigmoid" | "none" | undefined;
}

type Definition = PipelineDefinition<ImageSource, LabelScore[], ImageClassificationOptions, PartLogits>;

/** Pictures to labels with their scores. Reference: transformers/pipelines/image_classification.py */
export const imageClassification: Definition = {
  names: ["image-classification"],
  task: "IMAGE_CLS",
  options: { imageProcessor: {}, topK: {}, functionToApply: {} },
  wants: wantsPicture,
  isInput: isImageSource,
  defaults: pictureDefaults,
  parts: (source) => [picturePart(source)],
  compute: forwardPictures,
  output(opened, [part], [logits], { topK, functionToApply: scores }) {
    const isMany = problemOf(opened.model.config) === "multi_label_classification";
    const options = { topK: topK ?? (isMany ? Number.POSITIVE_INFINITY : 5), scores };
    const said = predict(opened, part ?? internal("no picture"), logits ?? internal("no logits"), options);
    return said.kind === "labels" ? [...said.labels] : [];
  },
  window: 4,
};
