import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { AutoImageProcessor } from "../auto.js";
import { decodeImage, readImageHeader } from "./decode.js";
import { ImageProcessor } from "./image_processor.js";
import { type RawImage, toRgb } from "./raw_image.js";
import { type Resample, resize } from "./resize.js";

// tools/golden/pictures.py gave the numbers.
const golden = JSON.parse(readFileSync("tests/golden/pictures.json", "utf8")) as {
  resized: { from_: [number, number]; to: [number, number]; resample: Resample; sha: string }[];
  files: Record<string, { base64: string; rgb: string; upright: string }>;
  processed: { config: Record<string, unknown>; shape: number[]; values: number[] }[];
};

function pixelsFor(height: number, width: number): RawImage {
  const data = Uint8Array.from({ length: height * width * 3 }, (_, i) =>
    Number((((BigInt(i) * 2654435761n + 12345n) & 0xffffffffn) >> 13n) & 0xffn),
  );
  return { data, width, height, channels: 3 };
}

/** A PNG of 100 bytes whose header says 30000 x 30000. */
const BOMB = "iVBORw0KGgoAAAANSUhEUgAAdTAAAHUwCAAAAABDTKdmAAAADElEQVR4nGNgoD0AAABkAAGGZDw1AAAAAElFTkSuQmCC";

const shaOf = ({ data }: RawImage): string => createHash("sha256").update(data).digest("hex").slice(0, 16);

describe("resize", () => {
  it("is Pillow's, to the bit", () => {
    expect(golden.resized.length).toBeGreaterThan(40);
    for (const { from_, to, resample, sha } of golden.resized) {
      const resized = resize(pixelsFor(...from_), { height: to[0], width: to[1] }, resample);
      expect(shaOf(resized), `${from_} to ${to} by ${resample}`).toBe(sha);
    }
  });

  it("computes a part of the result as it would stand in the whole", () => {
    for (const [height, width] of [
      [24, 31],
      [50, 60],
      [9, 70],
    ] as const) {
      const image = pixelsFor(40, 45);
      const whole = resize(image, { height, width }, 3);
      const region = { left: 3, top: 2, height: 5, width: 11 };
      const part = resize(image, { height, width }, 3, region);
      for (let y = 0; y < 5; y++) {
        const from = ((y + 2) * width + 3) * 3;
        expect(part.data.subarray(y * 33, y * 33 + 33)).toEqual(whole.data.subarray(from, from + 33));
      }
    }
  });
});

describe("files", () => {
  it.each(Object.keys(golden.files))("%s holds what Pillow reads, stored and upright", async (name) => {
    const { base64, rgb, upright } = golden.files[name]!;
    const bytes = new Uint8Array(Buffer.from(base64, "base64"));
    expect(shaOf(toRgb(await decodeImage(bytes, { as: "stored" }), "white"))).toBe(rgb);
    expect(shaOf(await decodeImage(bytes))).toBe(upright);
  });

  it("that are damaged, no pictures, or too large are named", async () => {
    const bytes = new Uint8Array(Buffer.from(golden.files["rgba.png"]!.base64, "base64"));
    const cut = decodeImage(bytes.subarray(0, bytes.length - 40), { at: "cut.png" });
    await expect(cut).rejects.toThrow(/\[data\] cut.png: the picture cannot be read/);
    await expect(decodeImage(new Uint8Array(0))).rejects.toThrow(/\[data\].*cannot be read/);
    await expect(decodeImage(new TextEncoder().encode("<svg/>"))).rejects.toThrow(/\[data\]/);
    const bomb = Buffer.from(BOMB, "base64");
    await expect(readImageHeader(bomb, "bomb.png")).rejects.toThrow(
      /bomb.png: a picture of 30000 x 30000 pixels/,
    );
    await expect(decodeImage(bomb, { at: "bomb.png" })).rejects.toThrow(
      /bomb.png: a picture of 30000 x 30000/,
    );
  });
});

describe("ImageProcessor", () => {
  it("gives transformers' numbers, class by class", async () => {
    for (const { config, shape, values } of golden.processed) {
      const { pixelValues } = await new ImageProcessor(config).preprocess(pixelsFor(13, 10));
      expect(pixelValues.shape, JSON.stringify(config)).toEqual([1, ...shape]);
      const got = [...pixelValues.data].filter((_, i) => i % 11 === 0);
      for (const [i, x] of values.entries()) expect(got[i]).toBeCloseTo(x, 5);
    }
  });

  it("makes class ids of maps, and refuses pictures of several sizes in a batch", async () => {
    const processor = new ImageProcessor({
      image_processor_type: "SegformerImageProcessor",
      size: { height: 2, width: 2 },
      do_reduce_labels: true,
    });
    const map: RawImage = { data: Uint8Array.of(0, 1, 2, 255), width: 2, height: 2, channels: 1 };
    const { labels } = await processor.preprocess(pixelsFor(4, 4), { segmentationMaps: [map] });
    expect(labels).toEqual({ data: Int32Array.of(255, 0, 1, 255), shape: [1, 2, 2] });
    const long: RawImage = { data: new Uint8Array(3 * 60000), width: 60000, height: 1, channels: 3 };
    const edge = { image_processor_type: "CLIPImageProcessor", size: 224, do_center_crop: false };
    await expect(new ImageProcessor(edge).preprocess(long)).rejects.toThrow(/\[data\].*13440000 x 224/);
    const whole = new ImageProcessor({ image_processor_type: "ViTImageProcessor", do_resize: false });
    await expect(whole.preprocess([pixelsFor(2, 3), pixelsFor(3, 2)])).rejects.toThrow(/\[data\].*\[3,2,3\]/);
  });

  it("is found by a model's type where an old file does not name its class", async () => {
    const folder = mkdtempSync(join(tmpdir(), "processor-"));
    writeFileSync(join(folder, "config.json"), '{"model_type":"clip"}');
    writeFileSync(join(folder, "preprocessor_config.json"), '{"size":30,"crop_size":20}');
    const { settings } = await AutoImageProcessor.fromPretrained(folder);
    expect(settings).toMatchObject({
      size: { shortestEdge: 30 },
      crop: { height: 20, width: 20 },
      resample: 3,
    });
  });

  it.each([
    [{ image_processor_type: "OddImageProcessor" }, /is for OddImageProcessor.*ViTImageProcessor/],
    [{ image_processor_type: "ViTImageProcessor", size: 1e9 }, /"size": 1000000000/],
    [{ image_processor_type: "ViTImageProcessor", size: "big" }, /"size": "big"/],
    [{ image_processor_type: "ViTImageProcessor", resample: 7 }, /"resample": 7/],
    [{ image_processor_type: "ViTImageProcessor", image_std: [0, 1, 1] }, /"image_std"/],
    [{ image_processor_type: "ConvNextImageProcessor", size: 24, crop_pct: 1e-9 }, /"crop_pct"/],
  ])("refuses %j", (config, message) => {
    expect(() => new ImageProcessor(config)).toThrow(message);
  });
});
