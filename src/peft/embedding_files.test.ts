import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import type { Pooling } from "../models/model.js";
import { readPooling, writePooling } from "./embedding_files.js";

function folderOf(files: Readonly<Record<string, unknown>> = {}): string {
  const folder = mkdtempSync(join(tmpdir(), "peft-pooling-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "1_Pooling"));
  for (const [name, value] of Object.entries(files)) writeFileSync(join(folder, name), JSON.stringify(value));
  return folder;
}

const modulesOf = (...types: string[]): unknown =>
  types.map((type, idx) => ({
    idx,
    path: idx === 0 ? "" : `${idx}_${type}`,
    type: `sentence_transformers.models.${type}`,
  }));

async function read(files: Readonly<Record<string, unknown>>): Promise<[Pooling | undefined, string[]]> {
  const warnings: string[] = [];
  return [await readPooling(folderOf(files), (w) => warnings.push(`${w}`)), warnings];
}

it.each<[string, Record<string, unknown>, Pooling | undefined]>([
  ["no modules", {}, undefined],
  [
    "a pooling without a config",
    { "modules.json": modulesOf("Transformer", "Pooling") },
    { tokens: "mean", normalize: false },
  ],
  [
    "flags of version 5 and before",
    {
      "modules.json": modulesOf("Transformer", "Pooling", "Normalize"),
      "1_Pooling/config.json": { pooling_mode_cls_token: true, pooling_mode_mean_tokens: false },
      "sentence_bert_config.json": { max_seq_length: 256 },
    },
    { tokens: "cls", normalize: true, maxLength: 256 },
  ],
  [
    "a mode of version 6",
    {
      "modules.json": modulesOf("Transformer", "Pooling"),
      "1_Pooling/config.json": { pooling_mode: "lasttoken" },
    },
    { tokens: "last", normalize: false },
  ],
])("%s", async (_, files, pooling) => {
  expect(await read(files)).toEqual([pooling, []]);
});

it.each<[string, Record<string, unknown>]>([
  ["Dense", { "modules.json": modulesOf("Transformer", "Pooling", "Dense") }],
  [
    "max",
    { "modules.json": modulesOf("Transformer", "Pooling"), "1_Pooling/config.json": { pooling_mode: "max" } },
  ],
  [
    "pooling_mode_max_tokens",
    {
      "modules.json": modulesOf("Transformer", "Pooling"),
      "1_Pooling/config.json": { pooling_mode_max_tokens: true, pooling_mode_mean_tokens: true },
    },
  ],
])("%s is not built here, and said", async (what, files) => {
  const [pooling, [warning]] = await read(files);
  expect(pooling).toBeUndefined();
  expect(warning).toMatch(new RegExp(`${what}.*not built here`));
});

it("what is written is read again; prompts of the model before stay", async () => {
  const from = folderOf({ "config_sentence_transformers.json": { prompts: { query: "query: " } } });
  const folder = folderOf();
  const pooling: Pooling = { tokens: "last", normalize: true, maxLength: 128 };
  await writePooling(folder, pooling, { width: 32, from });
  expect(await readPooling(folder, () => undefined)).toEqual(pooling);
  const json = (name: string): unknown => JSON.parse(readFileSync(join(folder, name), "utf8"));
  expect(json("1_Pooling/config.json")).toEqual({
    word_embedding_dimension: 32,
    pooling_mode_mean_tokens: false,
    pooling_mode_cls_token: false,
    pooling_mode_lasttoken: true,
  });
  expect(json("config_sentence_transformers.json")).toMatchObject({
    prompts: { query: "query: " },
    similarity_fn_name: "cosine",
  });
});
