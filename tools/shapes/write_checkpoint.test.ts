import { mkdtemp, readFile, rename, rm, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openCheckpoint } from "../../src/hub/checkpoint.js";
import { nodeFiles } from "../../src/hub/files.js";
import { specOf } from "../../src/peft/spec.js";
import { takeInventory } from "../../src/trace/write.js";
import type { Shape } from "./shapes.js";
import { shapeOf, shapes } from "./shapes.js";
import { parseSize } from "./size.js";
import { writeCheckpoint } from "./write_checkpoint.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "peft-shapes-"));
});
afterEach(() => rm(folder, { recursive: true }));

const tiny: Shape = {
  task: "CAUSAL_LM",
  config: {
    ...shapeOf("opt-350m", 1).config,
    hidden_size: 64,
    num_attention_heads: 4,
    ffn_dim: 128,
    word_embed_proj_dim: 32,
    vocab_size: 512,
  },
};
const options = { dtype: "bf16", shardBytes: 100_000 } as const;
const mtimes = async (names: readonly string[]): Promise<number[]> =>
  Promise.all(names.map(async (name) => (await stat(join(folder, name))).mtimeMs));

test("shards, index and config.json hold every weight in its shape and dtype", async () => {
  const seen: number[] = [];
  await writeCheckpoint(tiny, folder, { ...options, progress: (done, total) => seen.push(done / total) });
  const names = await nodeFiles.list(folder);
  expect(names.filter((n) => n.endsWith(".safetensors")).length).toBeGreaterThan(2);
  expect(names).toContain("model.safetensors.index.json");
  expect(JSON.parse(await readFile(join(folder, "config.json"), "utf8")).torch_dtype).toBe("bfloat16");
  const { tensors } = await openCheckpoint(folder);
  const { weights } = takeInventory(specOf(tiny.config, "CAUSAL_LM"));
  expect(new Map([...tensors.values()].map((t) => [t.name, t.shape]))).toEqual(new Map(weights));
  expect(new Set([...tensors.values()].map((t) => t.dtype))).toEqual(new Set(["bf16"]));
  expect(seen.at(-1)).toBe(1);
});

test("matrices spread within 0.03, norms are 1, biases small, no two matrices alike", async () => {
  await writeCheckpoint(tiny, folder, options);
  const checkpoint = await openCheckpoint(folder);
  const layer = "model.decoder.layers.0.";
  const q = await checkpoint.readF32(`${layer}self_attn.q_proj.weight`);
  const variance = q.reduce((sum, x) => sum + x * x, 0) / q.length;
  expect(Math.sqrt(variance)).toBeCloseTo(0.03 / Math.sqrt(3), 3);
  expect(Math.max(...q.map(Math.abs))).toBeLessThan(0.0301);
  expect(q).not.toEqual(await checkpoint.readF32(`${layer}self_attn.k_proj.weight`));
  expect(new Set(await checkpoint.readF32(`${layer}final_layer_norm.weight`))).toEqual(new Set([1]));
  const bias = await checkpoint.readF32(`${layer}fc1.bias`);
  expect(Math.max(...bias.map(Math.abs))).toBeLessThan(0.00301);
  expect(new Set(bias).size).toBeGreaterThan(10);
});

test("a complete folder stays, a file cut short is written again, a foreign one is refused", async () => {
  await writeCheckpoint(tiny, folder, options);
  const names = await nodeFiles.list(folder);
  const before = await mtimes(names);
  await writeCheckpoint(tiny, folder, options);
  expect(await mtimes(names)).toEqual(before);
  const second = join(folder, names.find((n) => n.includes("-00002-"))!);
  const whole = await readFile(second);
  await truncate(second, whole.length - 1);
  await writeCheckpoint(tiny, folder, options);
  expect(await readFile(second)).toEqual(whole);
  const other = { ...options, dtype: "f16" } as const;
  await expect(writeCheckpoint(tiny, folder, other)).rejects.toThrow(/\[output\].*model-00001-of/);
  expect(await readFile(second)).toEqual(whole);
  await rename(second, join(folder, "model.safetensors"));
  await expect(writeCheckpoint(tiny, folder, options)).rejects.toMatchObject({ code: "output" });
});

test("what a killed run left is removed, what another writes just now stays; a foreign config.json is refused", async () => {
  const [old, fresh] = [".model-00001-of-00003.safetensors.0123abcd.tmp", ".model.safetensors.89ef0123.tmp"];
  for (const name of [old, fresh]) await writeFile(join(folder, name), "x");
  await utimes(join(folder, old), 1, 1);
  await writeFile(join(folder, "config.json"), "{}");
  await expect(writeCheckpoint(tiny, folder, options)).rejects.toThrow(/\[output\].*config\.json/);
  expect(await readFile(join(folder, "config.json"), "utf8")).toBe("{}");
  await rm(join(folder, "config.json"));
  await writeCheckpoint(tiny, folder, options);
  const names = await nodeFiles.list(folder);
  expect(names).not.toContain(old);
  expect(names).toContain(fresh);
});

test("one file where all fits; a full disk is said in bytes before anything is written", async () => {
  const small = { ...nodeFiles, free: async () => 1000 };
  await expect(writeCheckpoint(tiny, folder, { ...options, dtype: "f32" }, small)).rejects.toThrow(
    /\[output\].* \d{6} bytes are still to be written, 1000 are free/,
  );
  expect(await nodeFiles.list(folder)).toEqual([]);
  await writeCheckpoint(tiny, folder, { dtype: "f32", shardBytes: 1e9 });
  expect(await nodeFiles.list(folder)).toEqual(["config.json", "model.safetensors"]);
});

test("every shape has the number of parameters of its name, and no dropout", () => {
  const counts = Object.entries(shapes).map(([name, { config, task }]) => {
    const { weights } = takeInventory(specOf(config, task));
    const all = [...weights.values()].reduce((n, shape) => n + shape.reduce((a, b) => a * b, 1), 0);
    return [name, Math.round(all / 1e6)];
  });
  expect(Object.fromEntries(counts)).toMatchInlineSnapshot(`
    {
      "bert-base": 109,
      "llama-7b": 6738,
      "llama-small": 25,
      "llama-tiny": 1,
      "mt0-large": 1230,
      "opt-1.3b": 1316,
      "opt-125m": 125,
      "opt-350m": 331,
      "opt-6.7b": 6658,
      "qwen2.5-0.5b": 494,
      "smollm2-135m": 135,
      "t0-3b": 2850,
      "t5-11b": 11307,
      "t5-3b": 2852,
      "t5-base": 223,
      "t5-large": 738,
      "t5-small": 61,
      "whisper-large-v2": 1543,
      "whisper-large-v3": 1543,
      "xls-r-300m": 315,
    }
  `);
  for (const { config } of Object.values(shapes))
    for (const [key, value] of Object.entries(config)) if (/drop/.test(key)) expect(value).toBe(0);
});

test("an unknown shape and a bad size are told", () => {
  expect(() => shapeOf("gpt-5")).toThrow(/\[option\].*opt-125m/);
  expect(parseSize("1.5GB")).toBe(1.5e9);
  expect(parseSize("2 MB")).toBe(2e6);
  expect(() => parseSize("2 bananas")).toThrow(/\[option\]/);
});
