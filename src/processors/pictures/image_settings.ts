import { PeftError } from "../../errors.js";
import { isRecord } from "../../narrow.js";
import type { Resample, Size } from "./resize.js";

/** To what a picture is resized: both sides, or the shortest edge, with the longest one bounded or not. */
export type SizeRule = Size | { readonly shortestEdge: number; readonly longestEdge?: number | undefined };

/** What preprocessor_config.json says, with its class's defaults; plain data, which workers take. */
export interface ImageSettings {
  /** @default no resizing */
  readonly size?: SizeRule | undefined;
  readonly resample: Resample;
  /** @default no center crop */
  readonly crop?: Size | undefined;
  /** What levels are multiplied by. @default 1 */
  readonly factor: number;
  /** By channel. @default no normalization */
  readonly mean?: readonly number[] | undefined;
  readonly std?: readonly number[] | undefined;
  /** Maps of classes: 0 becomes 255, which is not learnt, others are one less. */
  readonly reduceLabels: boolean;
  /** Whether maps of classes are resampled as pictures are, rather than to the nearest. */
  readonly treatsMapsAsPictures: boolean;
}

interface ProcessorClass {
  /** Defaults by the names of the file. */
  readonly defaults: Readonly<Record<string, unknown>>;
  /** What a plain number means. */
  readonly numberIs: "square" | "shortest";
  readonly modelTypes: readonly string[];
}

const HALF = { image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5] };
const IMAGENET = { image_mean: [0.485, 0.456, 0.406], image_std: [0.229, 0.224, 0.225] };
const CLIP = {
  image_mean: [0.48145466, 0.4578275, 0.40821073],
  image_std: [0.26862954, 0.26130258, 0.27577711],
};

/** Classes of transformers by their names, without "ImageProcessor". Reference: image_processing_pil_*.py */
const classes: Readonly<Record<string, ProcessorClass>> = {
  ViT: {
    defaults: { size: 224, resample: 2, ...HALF },
    numberIs: "square",
    modelTypes: ["vit", "vit_mae", "vit_msn", "ijepa", "swin", "swinv2"],
  },
  DeiT: {
    defaults: { size: 256, crop_size: 224, do_center_crop: true, resample: 3, ...HALF },
    numberIs: "square",
    modelTypes: ["deit"],
  },
  CLIP: {
    defaults: { size: 224, crop_size: 224, do_center_crop: true, resample: 3, ...CLIP },
    numberIs: "shortest",
    modelTypes: ["clip", "clip_vision_model"],
  },
  Bit: {
    defaults: { size: 224, crop_size: 224, do_center_crop: true, resample: 3, ...CLIP },
    numberIs: "shortest",
    modelTypes: ["dinov2", "dinov2_with_registers", "bit", "focalnet"],
  },
  Beit: {
    defaults: { size: 224, crop_size: 224, resample: 3, ...HALF },
    numberIs: "square",
    modelTypes: ["beit", "data2vec-vision"],
  },
  Siglip: {
    defaults: { size: { height: 224, width: 224 }, resample: 3, ...HALF },
    numberIs: "shortest",
    modelTypes: ["siglip", "siglip_vision_model"],
  },
  ConvNext: {
    defaults: { size: 384, crop_pct: 224 / 256, resample: 3, ...HALF },
    numberIs: "shortest",
    modelTypes: ["convnext", "convnextv2", "cvt", "regnet", "resnet"],
  },
  Segformer: {
    defaults: { size: 512, resample: 2, ...IMAGENET },
    numberIs: "square",
    modelTypes: ["segformer"],
  },
  LayoutLMv3: {
    defaults: { size: 224, resample: 2, ...HALF },
    numberIs: "square",
    modelTypes: ["layoutlmv3"],
  },
};

/** Shortest edges from here on are both sides for ConvNext, and nothing is cropped. */
const WHOLE_FROM = 384;

/**
 * What a preprocessor_config.json says.
 * @param modelType of config.json, for old files that do not name their class
 * @throws "file-format" for what is no image processor's, or has values of another form
 */
export function imageSettings(
  config: Readonly<Record<string, unknown>>,
  path: string,
  modelType?: string,
): ImageSettings {
  const [name, { defaults, numberIs }] = classOf(config, path, modelType);
  const has = (key: string): boolean => Object.hasOwn(config, key) && config[key] !== null;
  const read = (key: string): unknown => (has(key) ? config[key] : defaults[key]);
  const isOn = (key: string): boolean => (has(key) ? config[key] === true : defaults[key] !== false);
  const size = isOn("do_resize") ? sizeOf(read("size"), numberIs, path) : undefined;
  const crops = read("do_center_crop") === true;
  const whole = { size, crop: crops ? squareOf(read("crop_size"), path) : undefined };
  const share = name === "ConvNext" ? cropOf(size, read("crop_pct"), path) : whole;
  return {
    ...share,
    resample: resampleOf(read("resample"), path),
    factor: isOn("do_rescale") ? numberOf(read("rescale_factor") ?? 1 / 255, "rescale_factor", path) : 1,
    ...(isOn("do_normalize")
      ? { mean: channelsOf(read("image_mean"), "image_mean", path), std: stdOf(read("image_std"), path) }
      : {}),
    reduceLabels: (read("do_reduce_labels") ?? read("reduce_labels")) === true,
    treatsMapsAsPictures: name === "Beit",
  };
}

/** ViTImageProcessor, ViTImageProcessorFast, ViTImageProcessorPil, ViTFeatureExtractor are all ViT. */
function classOf(
  config: Readonly<Record<string, unknown>>,
  path: string,
  modelType = "",
): readonly [string, ProcessorClass] {
  const type = config["image_processor_type"] ?? config["feature_extractor_type"];
  const stem =
    typeof type === "string" ? type.replace(/(ImageProcessor|FeatureExtractor)(Fast|Pil)?$/, "") : undefined;
  const found = Object.entries(classes).find(([name, { modelTypes }]) =>
    stem === undefined ? modelTypes.includes(modelType) : name.toLowerCase() === stem.toLowerCase(),
  );
  if (found !== undefined) return found;
  const known = Object.keys(classes).map((name) => `${name}ImageProcessor`);
  throw new PeftError("file-format", {
    what: `"${path}" is for ${stem === undefined ? `models of type "${modelType}"` : String(type)}.`,
    why: `known image processors are ${known.join(", ")}.`,
    fix: 'name the one that does the same as its "image_processor_type".',
  });
}

function sizeOf(value: unknown, numberIs: ProcessorClass["numberIs"], path: string): SizeRule {
  if (typeof value === "number") {
    const n = pixelsOf(value, "size", path);
    return numberIs === "square" ? { height: n, width: n } : { shortestEdge: n };
  }
  if (isRecord(value)) {
    const { height, width, shortest_edge: shortest, longest_edge: longest } = value;
    if (shortest !== undefined && shortest !== null)
      return {
        shortestEdge: pixelsOf(shortest, "size", path),
        ...(typeof longest === "number" ? { longestEdge: pixelsOf(longest, "size", path) } : {}),
      };
    if (height !== undefined) return bothOf(height, width, "size", path);
  }
  throw wrong(path, "size", value, 'a number, { "height", "width" } or { "shortest_edge" }');
}

function squareOf(value: unknown, path: string): Size {
  if (isRecord(value)) return bothOf(value["height"], value["width"], "crop_size", path);
  return bothOf(value, value, "crop_size", path);
}

function bothOf(height: unknown, width: unknown, key: string, path: string): Size {
  return { height: pixelsOf(height, key, path), width: pixelsOf(width, key, path) };
}

/** ConvNext: below 384, the shortest edge is larger than what its center crop keeps. */
function cropOf(
  size: SizeRule | undefined,
  share: unknown,
  path: string,
): Pick<ImageSettings, "size" | "crop"> {
  if (size === undefined) return {};
  if (!("shortestEdge" in size)) throw wrong(path, "size", size, '{ "shortest_edge" }');
  const s = size.shortestEdge;
  if (s >= WHOLE_FROM) return { size: { height: s, width: s } };
  const edge = Math.trunc(s / numberOf(share, "crop_pct", path));
  return { size: { shortestEdge: pixelsOf(edge, "crop_pct", path) }, crop: { height: s, width: s } };
}

function resampleOf(value: unknown, path: string): Resample {
  if (value === 0 || value === 1 || value === 2 || value === 3 || value === 4 || value === 5) return value;
  throw wrong(path, "resample", value, "a number from 0 to 5");
}

/** The largest side that a picture is resized to. */
const MOST_SIDE = 8192;

function pixelsOf(value: unknown, key: string, path: string): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= MOST_SIDE) return value;
  throw wrong(path, key, value, `a whole number of pixels, 1 to ${MOST_SIDE}`);
}

function numberOf(value: unknown, key: string, path: string): number {
  if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
  throw wrong(path, key, value, "a number above 0");
}

function channelsOf(value: unknown, key: string, path: string): readonly number[] {
  const list = typeof value === "number" ? [value, value, value] : value;
  const isList = Array.isArray(list) && list.length === 3 && list.every((x) => Number.isFinite(x));
  if (isList) return list;
  throw wrong(path, key, value, "three numbers");
}

function stdOf(value: unknown, path: string): readonly number[] {
  const list = channelsOf(value, "image_std", path);
  if (list.every((x) => x !== 0)) return list;
  throw wrong(path, "image_std", value, "three numbers that are not 0");
}

function wrong(path: string, key: string, value: unknown, wants: string): PeftError {
  return new PeftError("file-format", {
    what: `"${path}" has "${key}": ${JSON.stringify(value)}.`,
    why: `it is ${wants}.`,
    fix: "correct it, or take the file from the repository again.",
  });
}
