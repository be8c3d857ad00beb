import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { nodeFiles } from "../files.js";
import { toF32 } from "./dtypes.js";
import { openTorchBin } from "./torch_bin.js";

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

describe.each(["state.bin", "state_legacy.bin"])("%s", (file) => {
  const numbers = async (name: string): Promise<number[]> => {
    const { tensors } = await openTorchBin(fixture(file));
    const tensor = tensors.get(name)!;
    const bytes = tensor.data ?? (await nodeFiles.read(tensor.path, tensor.offset, tensor.bytes));
    return [...toF32(bytes, tensor.dtype)];
  };

  test("names, shapes and dtypes", async () => {
    const { tensors } = await openTorchBin(fixture(file));
    const seen = [...tensors.values()].map((t) => `${t.name} ${t.dtype} [${t.shape.join()}]`);
    expect(seen).toEqual([
      "weight f32 [2,3]",
      "bias f32 [2]",
      "parameter f32 [1]",
      "transposed f32 [4,3]",
      "whole f32 [3,4]",
      "row f32 [4]",
      "column f32 [3]",
      "half f16 [2]",
      "brain bf16 [2]",
      "count i64 []",
      "mask bool [2]",
    ]);
  });
  test("numbers lie where the tensor says, views of one storage too", async () => {
    expect(await numbers("weight")).toEqual([0, 1, 2, 3, 4, 5]);
    expect(await numbers("bias")).toEqual([0.5, -0.5]);
    expect(await numbers("parameter")).toEqual([3]);
    expect(await numbers("row")).toEqual([4, 5, 6, 7]);
    expect(await numbers("half")).toEqual([1.5, -2]);
    expect(await numbers("brain")).toEqual([1.5, -2]);
    expect(await numbers("count")).toEqual([7]);
    expect(await numbers("mask")).toEqual([1, 0]);
  });
  test("strided tensors are copied row-major, the others stay in the file", async () => {
    expect(await numbers("transposed")).toEqual([0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
    expect(await numbers("column")).toEqual([2, 6, 10]);
    const { tensors } = await openTorchBin(fixture(file));
    expect([...tensors.values()].filter((t) => t.data !== undefined).map((t) => t.name)).toEqual([
      "transposed",
      "column",
    ]);
  });
});

test("a type that cannot be read refuses nothing until it is", async () => {
  const { tensors } = await openTorchBin(fixture("complex.bin"));
  expect(tensors.get("a")).toMatchObject({ dtype: "c64", shape: [2], bytes: 16 });
});

describe("refuses, unexecuted", () => {
  const cases: [string, RegExp][] = [
    ["evil.bin", /wants to call "posix.system"/],
    ["evil_legacy.bin", /wants to call "posix.system"/],
    ["beyond.bin", /"a" reaches to element 999999 of a storage that has 4/],
    ["offset.bin", /"a" reaches to element 4 of a storage that has 4/],
    ["repeats.bin", /"a" repeats the elements/],
    ["negative.bin", /a size or offset in it is -1/],
    ["dag.bin", /a size or offset in it is a list/],
    ["module.bin", /torch.nn.modules.linear|opcode/],
    ["list.bin", /something else than a dictionary/],
    ["plain_pickle.bin", /not one of torch.save/],
    ["cut_zip.bin", /cut short/],
    ["cut_legacy.bin", /past the file|cut short/],
    ["cut_pickle.bin", /ends inside its pickle/],
  ];
  test.each(cases)("%s", async (name, message) => {
    const path = fixture(`refused_${name}`);
    await expect(openTorchBin(path)).rejects.toThrow(message);
    await expect(openTorchBin(path)).rejects.toMatchObject({ code: "file-format" });
    expect(fs.existsSync("/tmp/peft-js-evil")).toBe(false);
  });
});

test("a damaged file is refused or read, never anything else: 2 000 random changes", async () => {
  const folder = fs.mkdtempSync(join(tmpdir(), "peft-fuzz-"));
  const path = join(folder, "x.bin");
  let state = 1;
  const random = (below: number): number => (state = (state * 48271) % 2147483647) % below;
  for (const name of ["state.bin", "state_legacy.bin"]) {
    const sound = fs.readFileSync(fixture(name));
    for (let trial = 0; trial < 1000; trial++) {
      const bytes = Buffer.from(sound);
      for (let change = 0; change < 3; change++) bytes[random(bytes.length)] = random(256);
      const files = {
        ...nodeFiles,
        size: async () => bytes.length,
        read: async (_: string, offset: number, length: number) => {
          if (offset + length > bytes.length || length < 0) throw new RangeError("outside the file");
          return new Uint8Array(bytes.subarray(offset, offset + length));
        },
      };
      const outcome = await openTorchBin(path, files).catch((error: Error) => error);
      if (outcome instanceof Error) expect(outcome).toMatchObject({ code: "file-format" });
      else {
        for (const t of outcome.tensors.values())
          expect(t.offset + t.bytes).toBeLessThanOrEqual(bytes.length);
      }
    }
  }
  fs.rmSync(folder, { recursive: true });
});
