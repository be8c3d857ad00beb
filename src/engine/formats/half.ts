import type { OnnxGraph } from "../onnx.js";
import type { StoredWeight, WeightFormat } from "./format.js";
import { linearF32 } from "./format.js";

const toF32 = (o: OnnxGraph, value: string): string => o.once("Cast", [value], { to: 1 });
const whole = (o: OnnxGraph, w: StoredWeight): string => toF32(o, w.parts["data"]!);

/** A format of two bytes, brought to f32 where it is used. */
export function half(name: "f16" | "bf16"): WeightFormat {
  return {
    name,
    parts: (shape) => ({ data: { element: name, shape } }),
    weight: whole,
    linear: (o, x, w, transposed) => linearF32(o, x, whole(o, w), transposed),
    rows: (o, w, ids) => o.node("Cast", [o.node("Gather", [w.parts["data"]!, ids], { axis: 0 })], { to: 1 }),
  };
}
