import { dimAt, subDims } from "../graph/dims.js";
import type { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { BertConfig } from "./bert.js";
import { bert, bertStack, readBert } from "./bert.js";
import type { Architecture, TextInputs } from "./model.js";
import { readConfig } from "./parts/config.js";
import { firstToken } from "./parts/pooling.js";
import { realPositions } from "./parts/positions.js";

/**
 * Rows of the table of positions: they count tokens that are not the padding token, from its id on; behind a
 * prompt, all.
 */
function positions({ g }: Module, c: BertConfig, x: TextInputs): Tensor {
  const first = g.scalar(c.firstPosition, "i64");
  const length = dimAt(x.positions.shape, 1);
  if (length !== x.ids.shape[1]) return g.add(x.positions, first);
  const padding = g.scalar(c.firstPosition - 1, "i64");
  const real = g.cast(g.not(g.equal(x.ids, padding)), "i64");
  const past = g.mul(g.size(subDims(dimAt(x.mask.shape, 1), length), "i64"), real);
  return g.add(g.add(realPositions(g, real, length), past), first);
}

/** classifier.out_proj(dropout(tanh(classifier.dense(dropout(first position))))) */
function classify(w: Module, c: BertConfig, hidden: Tensor): Tensor {
  const at = w.at("classifier");
  const first = at.dropout("dropout", firstToken(w.g, hidden), c.classifierDropout);
  const inner = w.g.tanh(at.linear("dense", first, c.hiddenSize));
  return at.output(at.linear("out_proj", at.dropout("dropout", inner, c.classifierDropout), c.numLabels));
}

/** BERT whose positions begin after the padding token's id. Reference: transformers/models/roberta */
export const roberta: Architecture<BertConfig> = {
  ...bert,
  modelTypes: ["roberta"],
  prefix: "roberta",
  parse: (json) =>
    readConfig(json, (f) => {
      const c = readBert(f);
      return { ...c, firstPosition: (c.padTokenId ?? 1) + 1 };
    }),
  stack: (w, c, x) => bertStack(w, c, { ...x, positions: positions(w, c, x) }),
  heads: { ...bert.heads, rowLabels: classify },
};
