import type { WeightFormat } from "./format.js";
import { half } from "./half.js";

export const f16: WeightFormat = half("f16");
