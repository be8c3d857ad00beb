import { internal } from "../errors.js";
import { isRecord } from "../narrow.js";
import { AutoImageProcessor } from "../processors/auto.js";
import type { ImageProcessor } from "../processors/pictures/image_processor.js";
import type { ImageSource } from "../processors/pictures/image_source.js";
import type { Inputs } from "../trace/feeds.js";
import type { Opened, Part } from "./definition.js";
import type { PartLogits } from "./forward.js";

/** How pictures become a model's input. */
export interface PictureOptions {
  /** @default the model's own */
  readonly imageProcessor?: ImageProcessor | undefined;
}

export const wantsPicture = "a picture: a file's path, its bytes, or { data, width, height, channels }";

export function isImageSource(value: unknown): value is ImageSource {
  if (typeof value === "string" || value instanceof Uint8Array) return true;
  if (!isRecord(value)) return false;
  return value["bytes"] instanceof Uint8Array || typeof value["path"] === "string" || "width" in value;
}

/** The processor that lies beside the model. */
export async function pictureDefaults({ model }: Opened): Promise<{ imageProcessor: ImageProcessor }> {
  return { imageProcessor: await AutoImageProcessor.fromPretrained(model.base.name) };
}

/** A row that has its picture beside it, to be read when its batch is computed. */
export function picturePart(source: ImageSource): Part {
  return { row: 0, at: "", inputIds: new Int32Array(0), text: "", tokens: [], media: source };
}

/** What the model says of each picture: [outputs], or [tokens, outputs]. */
export async function forwardPictures(
  { model }: Opened,
  parts: readonly Part[],
  { imageProcessor = internal("no image processor") }: PictureOptions,
): Promise<PartLogits[]> {
  const sources = parts.map(({ media }) => media).filter(isImageSource);
  const { pixelValues } = await imageProcessor.preprocess(sources);
  const batch: Inputs = { task: model.taskType, columns: { pixelValues } };
  const { data, shape } = (await model.forward(batch)).logits;
  const each = data.length / parts.length;
  return parts.map((_, i) => ({ logits: data.slice(i * each, (i + 1) * each), outputs: shape.at(-1) ?? 0 }));
}
