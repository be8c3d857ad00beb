import type { WeightFormat } from "./format.js";
import { linearF32 } from "./format.js";

export const f32: WeightFormat = {
  name: "f32",
  parts: (shape) => ({ data: { element: "f32", shape } }),
  weight: (_, w) => w.parts["data"]!,
  linear: (o, x, w, transposed) => linearF32(o, x, w.parts["data"]!, transposed),
  rows: (o, w, ids) => o.node("Gather", [w.parts["data"]!, ids], { axis: 0 }),
  costs: { linear: () => ({ scratch: [] }), weight: () => [], rows: () => [] },
};
