import type { Architecture, PooledHead } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import { decoderStack } from "./parts/decoder.js";
import type { DecoderConfig } from "./parts/decoder_config.js";
import { readDecoder } from "./parts/decoder_config.js";
import { firstToken, meanToken } from "./parts/pooling.js";

interface EuroBertConfig extends DecoderConfig {
  /** What a row's labels are read of: the first token, the mean of all, or the mean of their logits. */
  readonly pools: "bos" | "mean" | "late";
}

function read(f: Fields): EuroBertConfig {
  return {
    ...readDecoder(f, { eps: 1e-5 }),
    tied: false,
    bidirectional: true,
    pools: f.choice("classifier_pooling", ["bos", "mean", "late"], "late"),
  };
}

/** classifier(gelu(dense(x))) of what is pooled, or pooled itself */
const classify: PooledHead<EuroBertConfig> = (w, c, hidden, mask) => {
  const { g } = w;
  const pooled = {
    bos: () => firstToken(g, hidden),
    mean: () => meanToken(g, hidden, mask),
    late: () => hidden,
  };
  const inner = g.gelu(w.linear("dense", pooled[c.pools](), c.hiddenSize));
  const logits = w.linear("classifier", inner, c.numLabels);
  return c.pools === "late" ? meanToken(g, logits, mask) : logits;
};

/** Llama that sees to both sides. Reference: transformers/models/eurobert */
export const eurobert: Architecture<EuroBertConfig> = {
  modelTypes: ["eurobert"],
  defaultTokens: { bos_token_id: 128000, eos_token_id: 128001, pad_token_id: 128001 },
  prefix: "model",
  roles: { targets: undefined, attention: "self_attn" },
  parse: (json) => readConfig(json, read),
  stack: decoderStack(),
  heads: {
    rowLabels: classify,
    tokenLabels: (w, c, hidden) => w.linear("classifier", hidden, c.numLabels),
    hidden: (_w, _c, hidden) => hidden,
  },
  newModules: ["dense", "classifier"],
};
