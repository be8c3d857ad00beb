import { expect, test } from "vitest";
import { expandToF32, roundToHalves } from "./halves.js";

const ALL = Uint16Array.from({ length: 1 << 16 }, (_, i) => i);
const bytesOf = (x: Uint16Array): Uint8Array => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);

/** By the definition: sign, exponent with its bias, fraction. */
function meaningOf(half: number, exponentBits: number): number {
  const fractionBits = 15 - exponentBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  const sign = half >> 15 === 1 ? -1 : 1;
  const exponent = (half & 0x7fff) >> fractionBits;
  const fraction = (half & (2 ** fractionBits - 1)) / 2 ** fractionBits;
  if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign / 0 : Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias));
}

test.each([
  ["f16", 5],
  ["bf16", 8],
] as const)("every %s is the f32 that it stands for, and goes back to its bits", (type, exponentBits) => {
  const values = expandToF32(bytesOf(ALL), type);
  const back = roundToHalves(values, type);
  const wrong: string[] = [];
  for (let i = 0; i < ALL.length; i++) {
    const expected = meaningOf(i, exponentBits);
    if (!Object.is(values[i], Math.fround(expected))) wrong.push(`${i}: ${values[i]}, not ${expected}`);
    if (!Number.isNaN(expected) && back[i] !== i) wrong.push(`${i} came back as ${back[i]}`);
  }
  expect(wrong).toEqual([]);
});

test.each(["f16", "bf16"] as const)(
  "what lies between two %s goes to the nearer, ties to the even one",
  (type) => {
    const values = expandToF32(bytesOf(ALL), type);
    const wrong: string[] = [];
    for (let i = 0; i < ALL.length - 1; i++) {
      const [low, high] = [values[i]!, values[i + 1]!];
      if (!Number.isFinite(low) || !Number.isFinite(high)) continue;
      const middle = Math.fround((low + high) / 2); // exact: f32 has more bits than both
      const inputs = Float32Array.of(
        middle,
        Math.fround(middle * 0.9999999),
        Math.fround(middle * 1.0000001),
      );
      const [tie, inner, outer] = roundToHalves(inputs, type);
      const even = i % 2 === 0 ? i : i + 1;
      if (tie !== even) wrong.push(`${middle} became ${tie}, not ${even}`);
      if (Math.abs(middle) > 2 ** -120 && (inner !== i || outer !== i + 1))
        wrong.push(`${middle}: ${inner}, ${outer}`);
    }
    expect(wrong).toEqual([]);
  },
);

test("only f16 overflows, from 65520 on", () => {
  expect([...roundToHalves(Float32Array.of(65519, 65520, -1e30), "f16")]).toEqual([0x7bff, 0x7c00, 0xfc00]);
  expect([...roundToHalves(Float32Array.of(3.4e38), "bf16")]).toEqual([0x7f80]);
});
