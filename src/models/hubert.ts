import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { WaveInputs } from "./parts/waves.js";
import type { Wav2Vec2Config } from "./wav2vec2.js";
import { PLAIN, readWav2Vec2, stackOf, WAVES } from "./wav2vec2.js";

/** wav2vec2 that learnt clusters of frames. arXiv 2106.07447. Reference: transformers/models/hubert */
export const hubert: Architecture<Wav2Vec2Config, WaveInputs> = {
  ...WAVES,
  modelTypes: ["hubert"],
  prefix: "hubert",
  parse: (json, task) => readConfig(json, (f) => readWav2Vec2(f, task)),
  stack: stackOf(PLAIN),
};
