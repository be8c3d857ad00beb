import type { WeightFormat } from "./format.js";
import { half } from "./half.js";

export const bf16: WeightFormat = half("bf16");
