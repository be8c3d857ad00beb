import { axes } from "../graph/dims.js";
import type { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Architecture } from "./model.js";
import { splitHeads } from "./parts/attention.js";
import { MOST, readConfig } from "./parts/config.js";
import type { Distances } from "./parts/relative.js";
import { relativeBuckets } from "./parts/relative.js";
import type { WaveInputs } from "./parts/waves.js";
import type { Wav2Vec2Config, Wav2Vec2Form } from "./wav2vec2.js";
import { readWav2Vec2, stackOf, WAVES } from "./wav2vec2.js";

interface WavLMConfig extends Wav2Vec2Config {
  readonly distances: Distances;
}

/** The share of the bias by distance that each query takes, by what it reads: [batch, heads, frames, 1] */
function gatesOf(w: Module, c: WavLMConfig, x: Tensor): Tensor {
  const { g } = w;
  const heads = splitHeads(w, x, c.heads, c.headDim); // [batch, heads, frames, headDim]
  const [batch, , frames] = axes(heads.shape, 4);
  const parts = g.reshape(w.linear("gru_rel_pos_linear", heads, 8), [batch, c.heads, frames, 2, 4]);
  const [a, b] = g.split(g.sigmoid(g.sum(parts, -1)), -1, [1, 1]);
  return g.add(g.mul(a, g.sub(g.mul(b, w.get("gru_rel_pos_const", [1, c.heads, 1, 1])), 1)), 2);
}

/** Scores gain by distance, of the first layer's table. */
const FORM: Wav2Vec2Form<WavLMConfig, { distance: Tensor }> = {
  shared: (w, c, x) => {
    const buckets = relativeBuckets(w.g, { positions: x, mask: x }, c.distances);
    const at = w.at("layers.0.attention");
    const rows = at.embedding("rel_attn_embed", buckets, c.distances.buckets, c.heads);
    return { distance: w.g.unsqueeze(w.g.transpose(rows, [2, 0, 1]), 0) }; // [1, heads, frames, frames]
  },
  bias: (w, c, x, { distance, mask }) => w.g.add(w.g.mul(gatesOf(w, c, x), distance), mask),
  firstDropped: 1,
};

/**
 * wav2vec2 with biases by distance, which each head lets through by what it reads. Python calls no projection
 * of its attention, so that adapters there do nothing; here they do what they say. arXiv 2110.13900.
 * Reference: transformers/models/wavlm
 */
export const wavlm: Architecture<WavLMConfig, WaveInputs> = {
  ...WAVES,
  modelTypes: ["wavlm"],
  prefix: "wavlm",
  parse: (json, task) =>
    readConfig(json, (f) => ({
      ...readWav2Vec2(f, task),
      distances: {
        buckets: f.size("num_buckets", 320, MOST.table),
        farthest: f.size("max_bucket_distance", 800, MOST.table),
        isBidirectional: true,
      },
    })),
  stack: stackOf(FORM),
};
