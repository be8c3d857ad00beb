import { gemma2, readGemma2 } from "./gemma2.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { HEAD_NORM } from "./parts/decoder_config.js";
import { rowHeads } from "./parts/decoder_heads.js";
import { readRopes } from "./parts/rotary.js";

/**
 * The text model of Gemma 3: Gemma 2 without caps, with norms on heads, and with two ropes. EmbeddingGemma
 * is one whose tokens see to both sides, half a window each.
 * Reference: transformers/models/gemma3
 */
export const gemma3: Architecture<DecoderConfig> = {
  ...gemma2,
  modelTypes: ["gemma3_text"],
  defaultTokens: { bos_token_id: 2, eos_token_id: 1, pad_token_id: 0 },
  heads: rowHeads,
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readGemma2(f, f.size("sliding_window_pattern", 6));
      const bidirectional = f.flag("use_bidirectional_attention", false);
      return {
        ...c,
        ...readRopes(f, 1_000_000, f.number("rope_local_base_freq", 10_000)),
        scoreCap: undefined,
        headNorm: { ...HEAD_NORM, kind: c.norm },
        bidirectional,
        window: bidirectional && c.window !== undefined ? Math.floor(c.window / 2) + 1 : c.window,
      };
    }),
};
