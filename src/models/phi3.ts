import { llama } from "./llama.js";
import { readWindowOfAll } from "./mistral.js";
import type { Architecture } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { readDecoder } from "./parts/decoder_config.js";

function readPhi3(f: Fields): DecoderConfig {
  const c = readDecoder(f, { eps: 1e-5 });
  if (f.rate("embd_pdrop", 0) > 0)
    f.unbuilt(`"embd_pdrop" is not 0, and peft.js has no such dropout in this model`);
  const dropout = f.rate("resid_pdrop", 0);
  return {
    ...c,
    ...readWindowOfAll(f, c.layers, undefined),
    qkvBias: false,
    outBias: false,
    mlpBias: false,
    fusedQkv: true,
    mlp: { up: "gate_up_proj", down: "down_proj", fused: true },
    restartAt: c.rope.type === "longrope" ? f.count("original_max_position_embeddings", 4096) : undefined,
    attendedDropout: dropout,
    mlpDropout: dropout,
  };
}

/**
 * Llama with fused layers (Phi 3, Phi 4); PEFT names no default targets for it. Reference:
 * transformers/models/phi3
 */
export const phi3: Architecture<DecoderConfig> = {
  ...llama,
  modelTypes: ["phi3"],
  defaultTokens: { bos_token_id: 1, eos_token_id: 32000, pad_token_id: 32000 },
  roles: { targets: undefined },
  parse: (json) => readConfig(json, readPhi3),
};
