import { axes } from "../../graph/dims.js";
import type { OnnxGraph } from "../onnx/onnx.js";
import { dequantized } from "./costs.js";
import type { StoredWeight, WeightFormat } from "./format.js";
import { linearF32, partOf } from "./format.js";
import { reshapedAfter } from "./layout.js";

/**
 * A format of two bytes, brought to f32 where it is used: by each product anew, when its other operand is
 * there, lest all are held.
 */
export function half(name: "f16" | "bf16"): WeightFormat {
  const toF32 = (o: OnnxGraph, data: string, w: StoredWeight): string =>
    o.node("Cast", [w.asBits ? o.bitCast(data, name) : data], { to: 1 });
  return {
    name,
    parts: (shape) => ({ data: { element: name, shape } }),
    weight: (o, w) => toF32(o, partOf(w, "data"), w),
    linear: (o, x, w, transposed) => {
      const [a, b] = axes(w.shape, 2);
      const data = reshapedAfter(o, x, partOf(w, "data"), [a, b], transposed ? 0 : 1);
      return linearF32(o, x, toF32(o, data, w), transposed);
    },
    rows: (o, w, ids) => toF32(o, o.node("Gather", [partOf(w, "data"), ids], { axis: 0 }), w),
    costs: {
      ...dequantized,
      // a copy in the order of its product, its bits, and f32 of them
      linear: ({ weight }) => ({ perWeight: { bytes: 4 * weight, scratch: [2 * weight] }, scratch: [] }),
    },
  };
}
