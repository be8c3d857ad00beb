import type { Tensor } from "../graph/ops.js";
import type { BertAttention, BertConfig } from "./bert.js";
import { bert, bertStackOf, LEGACY_NORMS, readBert } from "./bert.js";
import type { Architecture } from "./model.js";
import { attend, paddingBias, splitHeads, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { MOST, readConfig } from "./parts/config.js";
import { positionsAfterPadding } from "./parts/positions.js";
import { relativeBias, relativeBuckets } from "./parts/relative.js";
import { robertaHeads } from "./roberta.js";

interface MpnetConfig extends BertConfig {
  /** Rows of the table of distances, of which BUCKETS are read. */
  readonly distanceRows: number;
}

/** Transformers reads neither of these from a config, nor the padding id that positions follow. */
const [BUCKETS, FARTHEST, PADDING] = [32, 128, 1];

function read(f: Fields): MpnetConfig {
  const rows = f.size("relative_attention_num_buckets", BUCKETS, MOST.table);
  if (rows < BUCKETS) f.fault(`"relative_attention_num_buckets" is ${rows}, below ${BUCKETS}`);
  return { ...readBert(f, 0), firstPosition: PADDING + 1, distanceRows: rows };
}

/** LayerNorm(x + dropout(o(attention))) */
const attention: BertAttention<MpnetConfig, { bias: Tensor }> = (w, c, x, { bias }, past) => {
  const at = w.at("attn");
  const project = (name: string): Tensor =>
    splitHeads(at, at.linear(name, x, c.hiddenSize), c.heads, c.headDim);
  const q = project("q");
  const present = withPast(w.g, { k: project("k"), v: project("v") }, past);
  const mixed = attend(at, q, present, { scale: c.headDim ** -0.5, bias, dropout: c.attentionDropout });
  const y = w.dropout("dropout", at.output(at.linear("o", mixed, c.hiddenSize)), c.dropout);
  const norm = (x: Tensor): Tensor => w.layerNorm("LayerNorm", x, c.eps);
  return { x: w.output(w.sublayer("attention", y, x, { norm })), present };
};

const stack = bertStackOf<MpnetConfig, { bias: Tensor }>((w, c, x) => {
  const buckets = relativeBuckets(w.g, x, { buckets: BUCKETS, farthest: FARTHEST, isBidirectional: true });
  const relative = relativeBias(w.at("encoder"), buckets, c.distanceRows, c.heads);
  return { bias: w.g.add(relative, paddingBias(w.g, x.mask)) };
}, attention);

/** RoBERTa whose scores gain by distance, as T5's do. Reference: transformers/models/mpnet */
export const mpnet: Architecture<MpnetConfig> = {
  modelTypes: ["mpnet"],
  defaultTokens: { bos_token_id: 0, pad_token_id: 1, eos_token_id: 2 },
  prefix: "mpnet",
  roles: { targets: undefined },
  parse: (json) => readConfig(json, read),
  checkpoint: { rename: LEGACY_NORMS },
  stack: (w, c, x) => stack(w, c, { ...x, positions: positionsAfterPadding(w.g, PADDING + 1, x) }),
  heads: robertaHeads,
  newModules: bert.newModules,
};
