import type { OnnxGraph } from "../onnx.js";

/** Sizes of a linear layer's matrix, [out, in] or, where `transposed`, [in, out]. */
export function inAndOut(shape: readonly number[], transposed: boolean): [inDim: number, outDim: number] {
  const [a, b] = shape as [number, number];
  return transposed ? [a, b] : [b, a];
}

/** The shape of x [..., n] with other last axes. */
export function shapeLike(o: OnnxGraph, x: string, last: readonly number[]): string {
  return o.once("Concat", [o.once("Shape", [x], { end: -1 }), o.ints(last)], { axis: 0 });
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
