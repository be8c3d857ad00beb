import type { WeightFormat } from "./format.js";
import { linearF32, partOf } from "./format.js";

export const f32: WeightFormat = {
  name: "f32",
  parts: (shape) => ({ data: { element: "f32", shape } }),
  weight: (_, w) => partOf(w, "data"),
  linear: (o, x, w, transposed) => linearF32(o, x, partOf(w, "data"), transposed),
  rows: (o, w, ids) => o.node("Gather", [partOf(w, "data"), ids], { axis: 0 }),
  costs: { linear: () => ({ scratch: [] }), weight: () => [], rows: () => [] },
};
