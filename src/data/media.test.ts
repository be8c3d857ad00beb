import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tiffOf } from "../../tests/support/tiny_vit.js";
import { ImageProcessor } from "../processors/pictures/image_processor.js";
import { batches } from "./batches.js";
import { loadDataset } from "./load.js";
import type { Row } from "./row.js";
import { rowsFrom } from "./rows_from.js";

const root = mkdtempSync(join(tmpdir(), "pictures-"));
const colors = { red: [200, 20, 20], blue: [20, 20, 200], green: [20, 200, 20] } as const;
const processor = new ImageProcessor({ image_processor_type: "ViTImageProcessor", size: 4 });
const model = { taskType: "IMAGE_CLS" as const, config: { vocabSize: 0, numLabels: 3 } };

beforeAll(() => {
  for (const part of ["train", "test"])
    for (const [name, color] of Object.entries(colors)) {
      mkdirSync(join(root, "photos", part, name), { recursive: true });
      for (let i = 0; i < 3; i++)
        writeFileSync(join(root, "photos", part, name, `${i}.tif`), tiffOf(5 + i, 7 - i, color));
    }
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("rows of pictures", () => {
  it("are the files of a folder per class, sorted, of the part to train", async () => {
    const rows = await loadDataset(join(root, "photos"));
    expect(rows).toHaveLength(9);
    expect(rows[0]).toEqual({
      kind: "picture",
      at: join(root, "photos", "train", "blue", "0.tif"),
      image: join(root, "photos", "train", "blue", "0.tif"),
      problemType: "single_label_classification",
      labels: [0],
      labelNames: ["blue", "green", "red"],
    });
    expect(await loadDataset(join(root, "photos", "test"))).toHaveLength(9);
    const unlabelled = await loadDataset(join(root, "photos", "train", "red"));
    expect(unlabelled.map((row) => row.kind === "picture" && row.labels)).toEqual([[-100], [-100], [-100]]);
  });

  it("are named by tables, from where these lie", async () => {
    const folder = join(root, "photos", "train");
    writeFileSync(join(folder, "metadata.csv"), "file_name,label\nred/0.tif,warm\nblue/1.tif,cold\n");
    const rows = await loadDataset(folder);
    expect(rows.map((row) => row.kind === "picture" && [row.image, row.labels])).toEqual([
      [`${folder}/red/0.tif`, [1]],
      [`${folder}/blue/1.tif`, [0]],
    ]);
    rmSync(join(folder, "metadata.csv"));
    const lines = [
      '{"image":"photos/train/red/0.tif","label":["a","b"]}',
      '{"image":"photos/train/red/1.tif","label":["b"]}',
    ];
    writeFileSync(join(root, "many.jsonl"), lines.join("\n"));
    const many = await loadDataset(join(root, "many.jsonl"), { taskType: "IMAGE_CLS" });
    expect(many.map((row) => row.kind === "picture" && row.labels)).toEqual([
      [1, 1],
      [0, 1],
    ]);
  });

  it("that are missing or no pictures are errors beforehand, or left out", async () => {
    writeFileSync(join(root, "bad.tif"), "no picture");
    writeFileSync(join(root, "bad.csv"), "image,label\nbad.tif,a\nnone.png,b\nphotos/train/red/0.tif,a\n");
    await expect(loadDataset(join(root, "bad.csv"))).rejects.toThrow(
      /\[data\] 2 pictures cannot be read: .*bad.csv line 2: .*line 3: .*skipBad: true/s,
    );
    const warnings: string[] = [];
    const warn = (message: string): void => void warnings.push(message);
    expect(await loadDataset(join(root, "bad.csv"), { skipBad: true, warn })).toHaveLength(1);
    expect(warnings.join()).toMatch(/Left out 2 pictures.*bad.csv line 2/);
  });
});

/** Pixels and labels of all batches. */
async function read(rows: readonly Row[], options: object): Promise<string> {
  const seen = [];
  for await (const batch of batches(rows, { processor, model, batchSize: 4, ...options }))
    seen.push([[...batch.rows], [...batch.labels.data], [...batch.columns!["pixelValues"]!.data]]);
  return JSON.stringify(seen);
}

describe("batches of pictures", () => {
  it("have pixels and labels, and the same whatever the number of workers", async () => {
    const rows = await loadDataset(join(root, "photos"));
    const options = { epochs: 2, seed: 3, augmentation: ["crop", "flip", "color", "trivial"] };
    const alone = await read(rows, { ...options, workers: 0 });
    expect(await read(rows, { ...options, workers: 2 })).toBe(alone);
    expect(await read(rows, { epochs: 2, seed: 3, workers: 0 })).not.toBe(alone);
    for await (const batch of batches(rows, { processor, model, workers: 0, shuffle: false })) {
      expect(batch.columns!["pixelValues"]!.shape).toEqual([batch.rows.length, 3, 4, 4]);
      const { pixelValues } = await processor.preprocess(join(root, "photos", "train", "blue", "0.tif"));
      if (batch.rows[0] === 0)
        expect(batch.columns!["pixelValues"]!.data.subarray(0, 48)).toEqual(pixelValues.data);
    }
  });

  it("change from epoch to epoch where they are augmented, and are those of an unbroken run", async () => {
    const rows = await loadDataset(join(root, "photos"));
    const options = { seed: 1, shuffle: false, augmentation: ["flip", "color"], workers: 0, batchSize: 9 };
    const [first, second] = JSON.parse(await read(rows, { ...options, epochs: 2 })) as unknown[];
    expect(second).not.toEqual(first);
    expect(JSON.parse(await read(rows, { ...options, epochs: 2, startAt: 1 }))).toEqual([second]);
  });

  it("name a picture that breaks off, or go on without it", async () => {
    const whole = tiffOf(9, 9, [1, 2, 3]);
    const { buffer } = whole.slice();
    const view = new DataView(buffer);
    const ifd = view.getUint32(4, true);
    view.setUint32(ifd + 2 + 12 * 5 + 8, 100000, true); // its pixels would lie behind its end
    const rows = rowsFrom([
      { image: whole, label: "a" },
      { image: new Uint8Array(buffer), label: "b" },
      { image: whole, label: "b" },
    ]);
    await expect(read(rows, { workers: 0 })).rejects.toThrow(/\[data\] row 2: the picture cannot be read/);
    await expect(read(rows, { workers: 1 })).rejects.toThrow(/\[data\] row 2: the picture cannot be read/);
    const [[places, labels]] = JSON.parse(await read(rows, { workers: 0, skipBad: true, shuffle: false }));
    expect([places, labels]).toEqual([
      [0, 2],
      [0, 1],
    ]);
  });

  it("say what is missing, and which changes there are", async () => {
    const rows = await loadDataset(join(root, "photos"));
    await expect(read(rows, { processor: undefined })).rejects.toThrow(
      /\[option\].*no processor.*AutoImage/s,
    );
    await expect(read(rows, { augmentation: ["mixup"] })).rejects.toThrow(
      /"mixup".*crop, flip, color, trivial/s,
    );
  });
});
