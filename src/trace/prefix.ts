import { internal } from "../errors.js";
import { dimAt, lengthAt } from "../graph/dims.js";
import type { KeyValue } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { ModelConfig } from "../models/model.js";
import type { ModelTrace } from "./trace.js";

/**
 * A prefix as a cache that is already filled: [tokens, layers * 2 * dim] -> per layer keys and values [batch,
 * heads, tokens, headDim]. `rowsOf` [batch] (zeros) says how many rows there are where no other input does.
 * In an encoder-decoder Python deals the layers out two at a time (self- and cross-attention), so layer i
 * reads slot 2 i mod layers.
 */
export function prefixCache(
  trace: ModelTrace,
  config: ModelConfig,
  rowsOf?: Tensor,
): readonly KeyValue[] | undefined {
  const { g } = trace;
  for (const [slot, adapter] of trace.options.adapters.entries()) {
    if (adapter.method?.prompt?.place !== "cache") continue;
    const rows = trace.promptRows(slot) ?? internal("a prefix without rows");
    const { kvHeads, headDim, layers } = config.cache;
    const tokens = dimAt(rows.shape, 0);
    const slots = lengthAt(rows.shape, 1) / (kvHeads * headDim);
    const parts = g.transpose(g.reshape(rows, [tokens, slots, kvHeads, headDim]), [1, 2, 0, 3]);
    const at = (i: number): Tensor => {
      const one = g.slice(parts, 0, i % slots, (i % slots) + 1); // [1, heads, tokens, headDim]
      return rowsOf ? g.gather(one, rowsOf, 0) : g.expand(one, ["batch", kvHeads, tokens, headDim]);
    };
    const stride = config.encoderDecoder ? 4 : 2;
    return Array.from({ length: layers }, (_, i) => ({ k: at(stride * i), v: at(stride * i + 1) }));
  }
  return undefined;
}
