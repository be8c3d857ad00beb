import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { modelHash } from "./model_hash.js";

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "peft-hash-"));
});
afterEach(() => fs.rmSync(folder, { recursive: true }));

it("is another for another config, another size, other weights; what lies beside does not count", async () => {
  const write = (name: string, bytes: Uint8Array | string): void =>
    fs.writeFileSync(join(folder, name), bytes);
  const weights = Uint8Array.from({ length: 1 << 18 }, (_, i) => i % 251);
  write("config.json", "{}");
  write("model.safetensors", weights);
  const first = await modelHash(folder);
  expect(first).toMatch(/^[0-9a-f]{64}$/);
  write("README.md", "# other");
  expect(await modelHash(folder)).toBe(first);
  write(
    "model.safetensors",
    weights.map((byte) => byte ^ 1),
  );
  const trained = await modelHash(folder);
  write("model.safetensors", weights.subarray(1));
  const shorter = await modelHash(folder);
  write("config.json", '{"a":1}');
  expect(new Set([first, trained, shorter, await modelHash(folder)]).size).toBe(4);
});

it("of an empty folder is one as well", async () => {
  expect(await modelHash(folder)).toMatch(/^[0-9a-f]{64}$/);
});
