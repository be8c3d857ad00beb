import type { Dim, Shape } from "../../graph/dims.js";
import { mulDims } from "../../graph/dims.js";
import type { OnnxGraph } from "./onnx.js";

const GOLDEN = 0x9e3779b9;

/**
 * Counter-based uniform numbers in [0, 1): see tests/ops/evaluate.ts for the formula, which this follows bit
 * for bit.
 */
export function lowerRandom(
  o: OnnxGraph,
  key: string,
  site: string,
  shape: Shape,
  shapeValue: (shape: Shape) => string,
): string {
  const inRow: Dim = mulDims(...shape.slice(1));
  const count = o.node("Squeeze", [shapeValue([inRow])]);
  const index = o.node("Range", [o.constant("i64", [0], []), count, o.constant("i64", [1], [])]);
  const spread = multiply(o, o.node("Cast", [index], { to: U32 }), GOLDEN);
  const rows = o.node("Cast", [o.node("BitwiseXor", [key, site])], { to: U32 });
  const column = o.node("Unsqueeze", [rows, o.ints([1])]);
  let x = o.node("Add", [column, o.node("Unsqueeze", [spread, o.ints([0])])]); // u32 [batch, inRow]
  x = xorShift(o, x, 16);
  x = xorShift(o, multiply(o, x, 0x7feb352d), 15);
  x = xorShift(o, multiply(o, x, 0x846ca68b), 16);
  const unit = o.node("Mul", [
    o.node("Cast", [shift(o, x, 8)], { to: 1 }),
    o.constant("f32", [2 ** -24], []),
  ]);
  return o.node("Reshape", [unit, shapeValue(shape)], { allowzero: 1 });
}

const U32 = 12;

/** x >>> n */
function shift(o: OnnxGraph, x: string, n: number): string {
  return o.node("BitShift", [x, o.constant("u32", [n], [])], { direction: "RIGHT" });
}

/** x ^ (x >>> n) */
function xorShift(o: OnnxGraph, x: string, n: number): string {
  return o.node("BitwiseXor", [x, shift(o, x, n)]);
}

/** x * n with wrap-around */
function multiply(o: OnnxGraph, x: string, n: number): string {
  return o.node("Mul", [x, o.constant("u32", [n], [])]);
}
