import { axes } from "../../graph/dims.js";
import type { OnnxGraph } from "../onnx/onnx.js";

/** Sizes of a linear layer's matrix, [out, in] or, where `transposed`, [in, out]. */
export function inAndOut(shape: readonly number[], transposed: boolean): [inDim: number, outDim: number] {
  const [a, b] = axes(shape, 2);
  return transposed ? [a, b] : [b, a];
}

/**
 * A part in another shape, not before x [..., n] is there: what is made of weights alone would be made at the
 * start of a run, and all of it would be held until each is used. `axis`: the one whose size is n, if any; so
 * ONNX Runtime does not see a rank, as in `declared` of engine/onnx/lowering.ts.
 */
export function reshapedAfter(
  o: OnnxGraph,
  x: string,
  part: string,
  [a, b]: readonly [number, number],
  axis?: 0 | 1,
): string {
  const width = o.once("Shape", [x], { start: -1 });
  const one = (): string => o.once("Div", [width, width]);
  if (axis === undefined) return o.node("Reshape", [part, o.once("Mul", [o.ints([a, b]), one()])]);
  const sizes = axis === 0 ? [width, o.ints([b])] : [o.ints([a]), width];
  return o.node("Reshape", [part, o.once("Concat", sizes, { axis: 0 })]);
}
