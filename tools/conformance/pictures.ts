import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { nodeFiles } from "../../src/hub/files.js";
import { AutoImageProcessor } from "../../src/processors/auto.js";
import { decodeImage } from "../../src/processors/pictures/decode.js";
import { type RawImage, toRgb } from "../../src/processors/pictures/raw_image.js";
import type { CaseResult } from "./result.js";
import { type Check, compare, Expected, isEqual, type KitTensor, type Numbers } from "./tensors.js";

// Pictures of a media kit: what files hold, and what processors make of them, in the limits of its README.

/** Levels that JPEG decoders may differ by: inverse transforms, and with 4:2:0 how colors are made larger. */
function levelsOf(file: string): number {
  if (!file.endsWith(".jpg")) return 0;
  return file.includes("420") ? 4 : 1;
}

/** As `compare`, for whole levels: all must be as near as `within`. */
function compareLevels(key: string, got: Numbers, expected: KitTensor | undefined, within: number): Check {
  if (within > 0 || expected === undefined)
    return { ...compare(key, got, expected, 1e-9), ...atMost(key, got, expected, within) };
  const same = `${got.shape}` === `${expected.shape}` && isEqual(got, expected);
  return {
    key,
    share: same ? 0 : Infinity,
    within: 0,
    ...(same ? {} : { note: `[${got.shape}] of [${expected.shape}] differ` }),
  };
}

/** The largest difference, without regard to how large the numbers are. */
function atMost(key: string, got: Numbers, expected: KitTensor | undefined, within: number): Check {
  if (expected === undefined || `${got.shape}` !== `${expected.shape}`)
    return { key, share: Infinity, within, note: `[${got.shape}] in place of [${expected?.shape}]` };
  const worst = expected.data.reduce((n, x, i) => Math.max(n, Math.abs(x - got.data[i]!)), 0);
  return { key, share: worst / within, within };
}

const numbers = ({ data, height, width, channels }: RawImage): Numbers => ({
  data,
  shape: channels === 1 ? [height, width] : [height, width, channels],
});

/** inputs/images: what each file holds. */
export async function runImages(kit: string): Promise<CaseResult> {
  const folder = join(kit, "inputs", "images");
  const expected = await Expected.open(join(folder, "held.safetensors"));
  const modes = JSON.parse(readFileSync(join(folder, "held.json"), "utf8")) as Record<
    string,
    { mode: string }
  >;
  const checks: Check[] = [];
  for (const key of expected.keys) {
    const [kind, ...rest] = key.split(".");
    const file = rest.join(".");
    const bytes = await nodeFiles.read(join(folder, file), 0, await nodeFiles.size(join(folder, file)));
    const stored = await decodeImage(bytes, { as: "stored" });
    const levels = levelsOf(file);
    if (kind === "rgb")
      checks.push(compareLevels(key, numbers(toRgb(stored, "white")), expected.get(key), levels));
    if (kind === "upright")
      checks.push(compareLevels(key, numbers(await decodeImage(bytes)), expected.get(key), levels));
    // palettes, ink, gray of 16 bits and gray with alpha are brought to colors where they are decoded
    if (kind === "raw" && ["L", "RGBA"].includes(modes[file]?.mode ?? ""))
      checks.push(compareLevels(key, numbers(stored), expected.get(key), levels));
  }
  const keys = expected.unread;
  return {
    checks,
    ...(keys.length > 0 && {
      notCovered: { reason: "they are brought to colors where they are decoded", keys },
    }),
  };
}

/** Whether a processor's folder is an image processor's. */
export function isImageProcessor(kit: string, name: string): boolean {
  const path = join(kit, "processors", name, "preprocessor_config.json");
  if (!existsSync(path)) return false;
  const config = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
  return "image_processor_type" in config || "image_mean" in config;
}

/** processors/<name>: what a processor makes of the kit's pictures. */
export async function runImageProcessor(kit: string, name: string): Promise<CaseResult> {
  const folder = join(kit, "processors", name);
  const inputs = join(kit, "inputs", "images");
  const expected = await Expected.open(join(folder, "expect.safetensors"));
  const processor = await AutoImageProcessor.fromPretrained(folder);
  const { factor, std } = processor.settings;
  const checks: Check[] = [];
  const read = async (file: string): Promise<RawImage> =>
    decodeImage(await nodeFiles.read(join(inputs, file), 0, await nodeFiles.size(join(inputs, file))), {
      as: "stored",
    });
  const files = expected.keys.filter((key) => !/^(torchvision|labels)\./.test(key));
  for (const file of files) {
    const maps = expected.has(`labels.${file}`) ? { segmentationMaps: [await read("labels.png")] } : {};
    const { pixelValues, labels } = await processor.preprocess(await read(file), maps);
    const want = expected.get(file);
    const level = factor / Math.min(...(std ?? [1]));
    const got = sparse({ data: pixelValues.data, shape: pixelValues.shape.slice(1) });
    checks.push(atMost(file, got, want, 1e-5 + levelsOf(file) * level));
    if (labels !== undefined)
      checks.push(
        compareLevels(
          `labels.${file}`,
          { data: labels.data, shape: labels.shape.slice(1) },
          expected.get(`labels.${file}`),
          0,
        ),
      );
  }
  // the other backend's numbers are there for whoever wants to know how far they are
  for (const key of expected.unread) if (key.startsWith("torchvision.")) expected.get(key);
  return {
    checks,
    ...(expected.unread.length > 0 && { notCovered: { reason: "unknown keys", keys: expected.unread } }),
  };
}

/** Of the largest pictures the kit has every 16th row and column. */
function sparse({ data, shape }: Numbers): Numbers {
  const [channels = 0, height = 0, width = 0] = shape;
  if (width !== 384) return { data, shape };
  const kept: number[] = [];
  for (let c = 0; c < channels; c++)
    for (let y = 0; y < height; y += 16)
      for (let x = 0; x < width; x += 16) kept.push(data[(c * height + y) * width + x]!);
  return { data: kept, shape: [channels, Math.ceil(height / 16), Math.ceil(width / 16)] };
}
