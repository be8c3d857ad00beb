import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  AutoImageProcessor,
  AutoModelForImageClassification,
  evaluate,
  getPeftModel,
  type ImageProcessor,
  LoraConfig,
  loadDataset,
  PeftModel,
  type PreTrainedModel,
  pipeline,
  rowsFrom,
  Trainer,
} from "../../src/index.js";
import { tiffOf, writeTinyVit } from "../support/tiny_vit.js";

const root = mkdtempSync(join(tmpdir(), "peft-pictures-"));
const colors = { ant: [200, 20, 20], bee: [20, 20, 200], cat: [20, 200, 20], dog: [90, 90, 90] } as const;
let processor: ImageProcessor;
const open: PreTrainedModel<"IMAGE_CLS">[] = [];

async function load(): Promise<PreTrainedModel<"IMAGE_CLS">> {
  const base = await AutoModelForImageClassification.fromPretrained(join(root, "vit"), { threads: 1 });
  open.push(base);
  return base;
}

beforeAll(async () => {
  writeTinyVit(join(root, "vit"));
  processor = await AutoImageProcessor.fromPretrained(join(root, "vit"));
  for (const part of ["train", "validation"])
    for (const [name, color] of Object.entries(colors)) {
      mkdirSync(join(root, "photos", part, name), { recursive: true });
      for (let i = 0; i < 6; i++)
        writeFileSync(join(root, "photos", part, name, `${i}.tif`), tiffOf(16 + i, 20 - i, color));
    }
});
afterAll(async () => {
  for (const base of open) await base.close();
  rmSync(root, { recursive: true, force: true });
});

describe("a classifier of pictures", () => {
  it("learns from a folder per class, and its adapter knows the classes", async () => {
    const rows = await loadDataset(join(root, "photos"));
    const validation = await loadDataset(join(root, "photos", "validation"));
    const model = getPeftModel(await load(), new LoraConfig({ r: 4, targetModules: ["q_proj", "v_proj"] }));
    const before = await evaluate(model, validation, { processor });
    const outputDir = join(root, "run");
    const trainer = new Trainer({
      model,
      processor,
      train: rows,
      validation,
      epochs: 8,
      lr: 0.01,
      augmentation: ["flip"],
      outputDir,
    });
    for await (const event of trainer.run()) if (event.type === "end") expect(event.reason).toBe("finished");
    const after = await evaluate(model, validation, { processor });
    expect(after.loss).toBeLessThan(0.3 * before.loss);
    expect(after.metrics["accuracy"]).toBe(1);
    expect(after.predictions[0]).toMatchObject({ output: "ant", expected: "ant" });
    const config = JSON.parse(readFileSync(join(outputDir, "adapter_config.json"), "utf8"));
    expect(config).toMatchObject({ task_type: null });
    const again = await PeftModel.fromPretrained(await load(), outputDir);
    expect((await evaluate(again, validation, { processor })).loss).toBeCloseTo(after.loss, 5);
  });

  it("is asked by a pipeline, without a tokenizer's files", async () => {
    await using classify = await pipeline("image-classification", join(root, "run"), {
      base: join(root, "vit"),
      threads: 1,
    });
    const path = join(root, "photos", "validation", "bee", "1.tif");
    const [likeliest, second] = await classify(path, { topK: 2 });
    expect(likeliest).toMatchObject({ label: "bee" });
    expect(likeliest!.score).toBeGreaterThan(second!.score);
    const all = await classify([readFileSync(path), { path }]);
    expect(all.map((labels) => labels[0]!.label)).toEqual(["bee", "bee"]);
    await using see = await pipeline("image-feature-extraction", join(root, "vit"), { threads: 1 });
    expect((await see(path)).shape).toEqual([17, 32]);
  });

  it("goes on without pictures that break off, and says which", async () => {
    const whole = tiffOf(9, 9, [1, 2, 3]);
    const cut = whole.slice();
    const view = new DataView(cut.buffer);
    view.setUint32(view.getUint32(4, true) + 2 + 12 * 5 + 8, 100000, true); // pixels behind the end
    const rows = rowsFrom([
      { image: whole, label: "ant" },
      { image: cut, label: "bee" },
    ]);
    const model = getPeftModel(await load(), new LoraConfig({ r: 2, targetModules: ["q_proj"] }));
    const options = { model, processor, train: rows, epochs: 2, labels: Object.keys(colors) };
    const run = async (skipBad: boolean): Promise<string[]> => {
      const said: string[] = [];
      for await (const event of new Trainer({ ...options, skipBad }).run())
        if (event.type === "warning") said.push(`${event.message}`);
      return said;
    };
    await expect(run(false)).rejects.toThrow(/row 2: the picture cannot be read/);
    expect((await run(true)).join()).toMatch(/Left out, as it could not be read: row 2/);
  });

  it("needs no tokenizer, and says when it needs a processor", async () => {
    const rows = await loadDataset(join(root, "photos"));
    const model = getPeftModel(await load(), new LoraConfig({ r: 2, targetModules: ["q_proj"] }));
    expect(() => new Trainer({ model, train: rows })).toThrow(/\[option\]/);
    await expect(evaluate(model, rows, {})).rejects.toThrow(/\[option\].*processor/);
  });
});
