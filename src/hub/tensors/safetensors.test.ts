import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { nodeFiles } from "../files.js";
import type { TensorToWrite } from "./safetensors.js";
import { openSafetensors, writeSafetensors } from "./safetensors.js";

const python = fileURLToPath(new URL("../fixtures/every_dtype.safetensors", import.meta.url));
let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "peft-safetensors-"));
});
afterEach(() => fs.rmSync(folder, { recursive: true }));

async function readAll(path: string): Promise<Map<string, TensorToWrite>> {
  const { tensors } = await openSafetensors(path);
  const all = new Map<string, TensorToWrite>();
  for (const { name, dtype, shape, offset, bytes } of tensors.values()) {
    all.set(name, { dtype, shape, data: await nodeFiles.read(path, offset, bytes) });
  }
  return all;
}

test("reads every dtype that Python wrote", async () => {
  const { tensors, metadata } = await openSafetensors(python);
  expect(metadata).toEqual({ format: "pt" });
  const dtypes = ["bool", "u8", "i8", "i16", "f16", "bf16", "i32", "f32", "f64", "i64"];
  expect([...tensors.values()].filter((t) => /^\d_/.test(t.name)).map((t) => t.dtype)).toEqual(
    dtypes.toReversed(),
  );
  expect(tensors.get("scalar")?.shape).toEqual([]);
  expect(tensors.get("empty")).toMatchObject({ shape: [0, 4], bytes: 0 });
});

test("writes the bytes that Python writes, whatever the order given, with tensors made when their turn comes", async () => {
  const path = join(folder, "a.safetensors");
  const all = [...(await readAll(python))].toSorted(([a], [b]) => (a < b ? 1 : -1));
  const lazy = all.map(([name, t], i) => [
    name,
    i % 2 === 0 ? t : { ...t, data: async () => t.data as Uint8Array },
  ]);
  await writeSafetensors(path, new Map(lazy as [string, TensorToWrite][]));
  expect(fs.readFileSync(path).equals(fs.readFileSync(python))).toBe(true);
});

test("a tensor of the wrong length is our bug, and the old file stays", async () => {
  const path = join(folder, "a.safetensors");
  fs.writeFileSync(path, "old");
  const wrong = new Map([["x", { dtype: "f32" as const, shape: [2], data: new Uint8Array(4) }]]);
  await expect(writeSafetensors(path, wrong)).rejects.toThrow(/"x" has 4 bytes/);
  expect(fs.readdirSync(folder)).toEqual(["a.safetensors"]);
  expect(fs.readFileSync(path, "utf8")).toBe("old");
});

describe("refuses", () => {
  const f32 = (offsets: number[], shape: unknown = [1]): object => ({
    dtype: "F32",
    shape,
    data_offsets: offsets,
  });
  const file = (header: unknown, data: number, length?: bigint): Uint8Array => {
    const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
    const bytes = new Uint8Array(8 + text.length + data);
    new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
    bytes.set(text, 8);
    return bytes;
  };
  const cases: [string, Uint8Array, RegExp][] = [
    ["an empty file", new Uint8Array(0), /has 0 bytes/],
    ["a huge header", file({}, 0, 1n << 62n), /header claims/],
    ["a header longer than the file", file({}, 0, 3n), /header claims 3 bytes/],
    ["text that is not JSON", file("{{{", 0), /header is not JSON: .*double quotes/],
    ["a list", file([], 0), /not a JSON object/],
    ["a shape that takes other bytes", file({ a: f32([0, 4], [2]) }, 4), /"a" takes 4 bytes.* takes 8/],
    ["an overlap", file({ a: f32([0, 4]), b: f32([0, 4]) }, 4), /"b" overlap/],
    ["a hole", file({ a: f32([4, 8]) }, 8), /"a" leave a hole/],
    ["data cut short", file({ a: f32([0, 4]) }, 3), /cut short/],
    ["data after the last tensor", file({ a: f32([0, 4]) }, 5), /end at byte/],
    ["a negative size", file({ a: f32([0, 4], [-1]) }, 4), /has the shape \[-1\]/],
    ["offsets that run backwards", file({ a: f32([4, 0]) }, 4), /takes -4 bytes/],
    [
      "an unknown dtype",
      file({ a: { dtype: "F7", shape: [4], data_offsets: [0, 4] } }, 4),
      /stored as "F7".*known are/,
    ],
    [
      "a repeated field",
      file('{"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}', 0),
      /one dtype/,
    ],
    ["a byte order mark", file("\ufeff{}", 0), /not JSON/],
    ["half of a surrogate pair", file('{"__metadata__":{"a":"\\ud800"}}', 0), /half of a surrogate pair/],
    [
      "a size with a fraction",
      file('{"a":{"dtype":"U8","shape":[1.00],"data_offsets":[0,1]}}', 1),
      /shape \[1\.0\]/,
    ],
    [
      "a size beyond 64 bits",
      file('{"a":{"dtype":"U8","shape":[9223372036854775808,2,0],"data_offsets":[0,0]}}', 0),
      /whole number of bytes/,
    ],
    [
      "data that end within a byte",
      file({ a: { dtype: "F4", shape: [3], data_offsets: [0, 2] } }, 2),
      /whole number of bytes/,
    ],
    ["deep nesting", file(`{"a":${"[".repeat(200)}`, 0), /127 levels/],
    ["metadata that is no text", file({ __metadata__: { a: 1 } }, 0), /__metadata__/],
    [
      "all faults at once",
      file({ a: f32([0, 4], [2]), b: f32([4, 8], "x") }, 8),
      /"a" takes.*"b" has the shape/,
    ],
  ];
  test.each(cases)("%s", async (_, bytes, message) => {
    const path = join(folder, "bad.safetensors");
    fs.writeFileSync(path, bytes);
    await expect(openSafetensors(path)).rejects.toThrow(message);
    await expect(openSafetensors(path)).rejects.toMatchObject({ code: "file-format" });
  });
});
