import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { hasWeights, openAdapterWeights, openCheckpoint } from "./checkpoint.js";
import { fromF32 } from "./tensors/dtypes.js";
import { writeSafetensors } from "./tensors/safetensors.js";

const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "peft-checkpoint-"));
});
afterEach(() => fs.rmSync(folder, { recursive: true }));

async function shard(name: string, tensors: Record<string, number[]>): Promise<void> {
  const all = Object.entries(tensors).map(
    ([key, values]) =>
      [
        key,
        { dtype: "f16" as const, shape: [values.length], data: fromF32(Float32Array.from(values), "f16") },
      ] as const,
  );
  await writeSafetensors(join(folder, name), new Map(all));
}
const index = (map: Record<string, unknown>): void =>
  fs.writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify({ weight_map: map }));

test("safetensors goes before .bin", async () => {
  fs.copyFileSync(fixture("state.bin"), join(folder, "pytorch_model.bin"));
  expect((await openCheckpoint(folder)).tensors.has("weight")).toBe(true);
  await shard("model.safetensors", { x: [1] });
  expect([...(await openCheckpoint(folder)).tensors.keys()]).toEqual(["x"]);
  expect(await hasWeights(folder)).toBe(true);
});

test("tensors of .bin read as f32, transposed ones too", async () => {
  fs.copyFileSync(fixture("state.bin"), join(folder, "pytorch_model.bin"));
  const file = await openCheckpoint(folder);
  expect([...(await file.readF32("half"))]).toEqual([1.5, -2]);
  expect([...(await file.readF32("transposed"))].slice(0, 3)).toEqual([0, 4, 8]);
  expect((await file.read("count")).length).toBe(8);
});

describe("shards", () => {
  test("are one checkpoint; the index decides between two of a name", async () => {
    await shard("model-1.safetensors", { a: [1, 2], both: [1] });
    await shard("model-2.safetensors", { b: [3], both: [2] });
    index({ a: "model-1.safetensors", b: "model-2.safetensors", both: "model-2.safetensors" });
    const file = await openCheckpoint(folder);
    expect([...file.tensors.keys()].sort()).toEqual(["a", "b", "both"]);
    expect([...(await file.readF32("a"))]).toEqual([1, 2]);
    expect([...(await file.readF32("both"))]).toEqual([2]);
    expect(file.metadata).toEqual({ format: "pt" });
  });
  test("that are missing are all named", async () => {
    index({ a: "model-1.safetensors", b: "model-2.safetensors" });
    await expect(openCheckpoint(folder)).rejects.toThrow(/2 of 2 weight files.*model-1.*model-2/);
  });
  test("that lack a tensor are an error", async () => {
    await shard("model-1.safetensors", { a: [1] });
    index({ a: "model-1.safetensors", b: "model-1.safetensors" });
    await expect(openCheckpoint(folder)).rejects.toThrow(/1 tensors are not where.*b \(model-1/);
  });
  test.each(["../secret.bin", "/etc/x.bin", "a\\b.bin", "x.txt", 3])(
    "a file name %s is refused",
    async (name) => {
      index({ a: name });
      await expect(openCheckpoint(folder)).rejects.toMatchObject({ code: "file-format" });
    },
  );
  test("an index without weight_map is refused", async () => {
    fs.writeFileSync(join(folder, "model.safetensors.index.json"), "{}");
    await expect(openCheckpoint(folder)).rejects.toThrow(/has no weight_map/);
  });
});

test("a folder without weights says what is there", async () => {
  fs.writeFileSync(join(folder, "tf_model.h5"), "");
  await expect(openCheckpoint(folder)).rejects.toThrow(/holds tf_model.h5.*tf_model.h5 cannot be read:/);
  await expect(openAdapterWeights(folder)).rejects.toThrow(/adapter_model.safetensors or adapter_model.bin/);
  expect(await hasWeights(folder)).toBe(false);
});

test("an unknown tensor names those that end alike", async () => {
  await shard("adapter_model.safetensors", { "a.q.weight": [1], "a.q.bias": [1] });
  const file = await openAdapterWeights(folder);
  await expect(file.readF32("b.q.weight")).rejects.toThrow(/no tensor "b.q.weight".*such as a.q.weight\./);
});
