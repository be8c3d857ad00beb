import { llama } from "./llama.js";
import type { Architecture } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { readDecoder } from "./parts/decoder_config.js";

/** A window in every layer: null says that there is none, a config without the field has the `usual` one. */
export function readWindowOfAll(
  f: Fields,
  layers: number,
  usual: number | undefined,
): Pick<DecoderConfig, "window" | "windowed"> {
  const isOff = f.json["sliding_window"] === null || (usual === undefined && !f.has("sliding_window"));
  const window = isOff ? undefined : f.count("sliding_window", usual);
  return { window, windowed: new Array<boolean>(layers).fill(window !== undefined) };
}

/** Llama with a sliding window in every layer. Reference: transformers/models/mistral */
export const mistral: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["mistral"],
  defaultTokens: { bos_token_id: 1, eos_token_id: 2 },
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readDecoder(f);
      return { ...c, ...readWindowOfAll(f, c.layers, 4096), qkvBias: false, outBias: false, mlpBias: false };
    }),
  heads: { ...llama.heads, spanEnds: (w, _c, hidden) => w.linear("qa_outputs", hidden, 2) },
  newModules: ["score", "qa_outputs"],
};
