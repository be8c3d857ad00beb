import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readJson } from "../json.js";
import { openSafetensors } from "./safetensors.js";
import { openTorchBin } from "./torch_bin.js";

let folder: string;
beforeAll(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "peft-stand-in-"));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${"4d".repeat(32)}\nsize 538090408\n`;
const readers = [
  ["model.safetensors", openSafetensors],
  ["pytorch_model.bin", openTorchBin],
  ["config.json", readJson],
] as const;

test.each(readers)(
  "a pointer of Git LFS and a web page in place of %s are said, with what helps",
  async (name, read) => {
    const path = join(folder, name);
    fs.writeFileSync(path, pointer);
    await expect(read(path)).rejects.toThrow(/Git LFS pointer.*538090408 bytes.*git lfs pull/s);
    fs.writeFileSync(path, "<!DOCTYPE html>\n<html><head><title>Not Found</title></head></html>");
    await expect(read(path)).rejects.toThrow(/web page \("Not Found"\).*\/resolve\//s);
    await expect(read(path)).rejects.toMatchObject({ code: "file-format" });
  },
);
