import type { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { BertConfig } from "./bert.js";
import { bert, bertAttention, bertStackOf, embed, LEGACY_NORMS, readBert } from "./bert.js";
import type { Architecture, TokenHead } from "./model.js";
import { paddingBias } from "./parts/attention.js";
import type { BoxedInputs, BoxTables } from "./parts/boxes.js";
import { boxedInputs, embedBoxes } from "./parts/boxes.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import { besidePooler, classify, pool, spanEnds } from "./parts/encoder_heads.js";

interface LayoutLMConfig extends BertConfig, BoxTables {
  readonly boxPositions: number;
}

function read(f: Fields): LayoutLMConfig {
  const c = readBert(f);
  return {
    ...{ ...c, classifierDropout: c.dropout },
    boxPositions: f.count("max_2d_position_embeddings", 1024),
    coordinateSize: c.hiddenSize,
    shapeSize: c.hiddenSize,
  };
}

const stack = bertStackOf<LayoutLMConfig, { bias: Tensor }, BoxedInputs>(
  (w, _c, x) => ({ bias: paddingBias(w.g, x.mask) }),
  bertAttention,
  (w, c, x) =>
    embed(
      w,
      c,
      x,
      embedBoxes(w, c, x.bbox).reduce((a, b) => w.g.add(a, b)),
    ),
);

/** The first position's hidden state through the pooler, which the model has whatever it is for. */
function pooled(w: Module, c: LayoutLMConfig, hidden: Tensor): Tensor {
  return pool(w.at("layoutlm.pooler"), c, hidden);
}

/** A head of tokens beside the pooler. */
function besidePooled(head: TokenHead<LayoutLMConfig>): TokenHead<LayoutLMConfig> {
  return (w, c, hidden) => {
    pooled(w, c, hidden);
    return head(w, c, hidden);
  };
}

/** BERT whose tokens know where they stand on their page. Reference: transformers/models/layoutlm */
export const layoutlm: Architecture<LayoutLMConfig, BoxedInputs> = {
  modelTypes: ["layoutlm"],
  prefix: "layoutlm",
  roles: { targets: ["query", "value"] },
  inputs: boxedInputs,
  parse: (json) => readConfig(json, read),
  checkpoint: { rename: LEGACY_NORMS },
  stack,
  heads: {
    rowLabels: (w, c, hidden) => classify(w, c, pooled(w, c, hidden)),
    tokenLabels: besidePooled(classify),
    spanEnds: besidePooled(spanEnds),
    hidden: besidePooler,
  },
  newModules: bert.newModules,
};
