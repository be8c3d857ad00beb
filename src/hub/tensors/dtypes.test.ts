import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { openCheckpoint } from "../checkpoint.js";
import { nodeFiles } from "../files.js";
import { fromF32, toF32 } from "./dtypes.js";

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
const path = fixture("conversions.safetensors");
/** The fixture stands in for a folder's model.safetensors. */
const open = (): ReturnType<typeof openCheckpoint> =>
  openCheckpoint("", { ...nodeFiles, join: () => path, exists: async () => true });

test.each(["f16", "bf16"] as const)(
  "%s to f32 as PyTorch has it, infinities, subnormals and NaN too",
  async (dtype) => {
    const file = await open();
    expect(file.tensors.get(`bits.${dtype}`)?.dtype).toBe(dtype);
    const ours = await file.readF32(`bits.${dtype}`);
    const expected = await file.readF32(`f32.${dtype}`);
    expect(ours.length).toBe(expected.length);
    for (let i = 0; i < ours.length; i++) {
      if (!Object.is(ours[i], expected[i])) expect(`${i}: ${ours[i]}`).toBe(`${i}: ${expected[i]}`);
    }
  },
);

test.each(["f16", "bf16"] as const)("f32 to %s rounds as PyTorch does", async (dtype) => {
  const file = await open();
  const ours = fromF32(await file.readF32("numbers"), dtype);
  expect(Buffer.from(ours).equals(Buffer.from(await file.read(`numbers.${dtype}`)))).toBe(true);
});

test("floats of 8 bits and whole numbers without a sign as PyTorch has them", async () => {
  const of = (name: string): ReturnType<typeof openCheckpoint> =>
    openCheckpoint("", { ...nodeFiles, join: () => fixture(name), exists: async () => true });
  const eights = await of("float8.safetensors");
  for (const type of ["float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", "float8_e4m3fnuz", "float8_e5m2fnuz"])
    expect(await eights.readF32(type), type).toEqual(await eights.readF32(`${type}.f32`));
  const unsigned = await of("unsigned.safetensors");
  for (const bits of [16, 32, 64])
    expect([...(await unsigned.readF32(`u${bits}`))]).toEqual([0, 1, 2 ** (bits - 1) + 2 ** (bits - 8)]);
  await expect(unsigned.readF32("c64")).rejects.toThrow(/"c64".* is stored as C64/);
});

test("NaN stays NaN both ways", () => {
  for (const dtype of ["f16", "bf16", "f64"] as const) {
    expect(toF32(fromF32(Float32Array.of(Number.NaN), dtype), dtype)[0]).toBeNaN();
  }
});

test("bytes that are not aligned are read all the same", () => {
  const bytes = new Uint8Array(5);
  bytes.set(new Uint8Array(Float32Array.of(2.5).buffer), 1);
  expect(toF32(bytes.subarray(1), "f32")).toEqual(Float32Array.of(2.5));
});

test("integers and booleans become numbers", () => {
  expect(toF32(new Uint8Array(BigInt64Array.of(-3n).buffer), "i64")).toEqual(Float32Array.of(-3));
  expect(toF32(new Uint8Array(Int16Array.of(-3).buffer), "i16")).toEqual(Float32Array.of(-3));
  expect(toF32(Uint8Array.of(1, 0), "bool")).toEqual(Float32Array.of(1, 0));
  expect(toF32(Uint8Array.of(255), "i8")).toEqual(Float32Array.of(-1));
});
