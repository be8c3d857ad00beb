import type { OnnxGraph } from "../onnx.js";

/** Values of both halves of a byte, by the byte: [256, 2]. */
export function pairsOf(values: readonly number[], first: "low" | "high"): number[] {
  return Array.from({ length: 256 }, (_, byte) => {
    const [low, high] = [values[byte & 15]!, values[byte >> 4]!];
    return first === "low" ? [low, high] : [high, low];
  }).flat();
}

/** Bytes [...] to what a table has for both halves of each: [..., 2]. */
export function unpacked(o: OnnxGraph, bytes: string, pairs: readonly number[]): string {
  const ids = o.node("Cast", [bytes], { to: 6 });
  return o.node("Gather", [o.constant("f32", pairs, [256, 2]), ids], { axis: 0 });
}

/**
 * A part in another shape, not before x is there: what is made of weights alone would be made at the start of a run, and all of it would
 * be held until each is used.
 */
export function reshapedAfter(o: OnnxGraph, x: string, part: string, shape: readonly number[]): string {
  const width = o.once("Shape", [x], { start: -1 });
  const one = o.once("Div", [width, width]);
  return o.node("Reshape", [part, o.node("Mul", [o.ints(shape), one])]);
}
