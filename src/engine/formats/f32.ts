import type { WeightFormat } from "./format.js";
import { elements, linearF32 } from "./format.js";

export const f32: WeightFormat = {
  name: "f32",
  element: "f32",
  bytes: (shape) => 4 * elements(shape),
  weight: (_, stored) => stored,
  linear: linearF32,
};
