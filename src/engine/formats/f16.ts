import type { WeightFormat } from "./format.js";
import { elements, linearF32 } from "./format.js";

export const f16: WeightFormat = {
  name: "f16",
  element: "f16",
  bytes: (shape) => 2 * elements(shape),
  weight: (o, stored) => o.node("Cast", [stored], { to: 1 }),
  linear: linearF32,
};
