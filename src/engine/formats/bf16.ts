import type { WeightFormat } from "./format.js";
import { elements, linearF32 } from "./format.js";

export const bf16: WeightFormat = {
  name: "bf16",
  element: "bf16",
  bytes: (shape) => 2 * elements(shape),
  weight: (o, stored) => o.node("Cast", [stored], { to: 1 }),
  linear: linearF32,
};
