import type { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { BertConfig } from "./bert.js";
import { bert, readBert } from "./bert.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import { firstToken } from "./parts/pooling.js";

/** classifier.out_proj(dropout(gelu(classifier.dense(dropout(first position))))) */
function classify(w: Module, c: BertConfig, hidden: Tensor): Tensor {
  const at = w.at("classifier");
  const first = at.dropout("dropout", firstToken(w.g, hidden), c.classifierDropout);
  const inner = at.dropout("dropout", w.g.gelu(at.linear("dense", first, c.hiddenSize)), c.classifierDropout);
  return at.output(at.linear("out_proj", inner, c.numLabels));
}

/** BERT with embeddings of a width of their own, without a pooler. Reference: transformers/models/electra */
export const electra: Architecture<BertConfig> = {
  ...bert,
  modelTypes: ["electra"],
  prefix: "electra",
  roles: { targets: ["query", "value"] },
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readBert(f);
      return { ...c, embeddingDim: f.size("embedding_size", 128) };
    }),
  heads: { ...bert.heads, rowLabels: classify, hidden: (_w, _c, hidden) => hidden },
  newModules: ["classifier", "qa_outputs"],
};
