import { type Dinov2Config, dinov2, readDinov2 } from "./dinov2.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { PictureInputs } from "./parts/pictures.js";

/** DINOv2 with registers. arXiv 2309.16588. Reference: transformers/models/dinov2_with_registers */
export const dinov2WithRegisters: Architecture<Dinov2Config, PictureInputs> = {
  ...dinov2,
  modelTypes: ["dinov2_with_registers"],
  prefix: "dinov2_with_registers",
  parse: (json) => readConfig(json, (f) => readDinov2(f, f.size("num_register_tokens", 4))),
};
