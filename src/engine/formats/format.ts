import type { Element, OnnxGraph } from "../onnx.js";

/**
 * One way to hold a frozen weight while it is used. A format is one file: how to declare a weight's stored bytes in a graph,
 * how to lower its products, and how many bytes it takes.
 */
export interface WeightFormat {
  readonly name: string;
  /** Stored element type of the value that `declare` names. */
  readonly element: Element;
  /** Bytes of a weight of this shape. */
  readonly bytes: (shape: readonly number[]) => number;
  /** f32 tensor from the stored value. */
  readonly weight: (o: OnnxGraph, stored: string) => string;
  /** x W^T, or x W where `transposed`; `w` is what `weight` returned. */
  readonly linear: (o: OnnxGraph, x: string, w: string, transposed: boolean) => string;
}

export function elements(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** A product with an f32 matrix: the same bytes serve both directions. */
export function linearF32(o: OnnxGraph, x: string, w: string, transposed: boolean): string {
  return transposed ? o.node("MatMul", [x, w]) : o.contrib("FusedMatMul", [x, w], { transB: 1 });
}
