import type { BertConfig } from "./bert.js";
import { bert, readBert } from "./bert.js";
import type { Architecture } from "./model.js";
import { readConfig } from "./parts/config.js";
import { denseHead } from "./parts/encoder_heads.js";

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
  heads: { ...bert.heads, rowLabels: denseHead("gelu"), hidden: (_w, _c, hidden) => hidden },
  newModules: ["classifier", "qa_outputs"],
};
