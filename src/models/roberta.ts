import type { BertConfig } from "./bert.js";
import { bert, bertStack, readBert } from "./bert.js";
import type { Architecture, Heads } from "./model.js";
import type { Fields } from "./parts/config.js";
import { readConfig } from "./parts/config.js";
import { besidePooler, classify, denseHead, spanEnds } from "./parts/encoder_heads.js";
import { positionsAfterPadding } from "./parts/positions.js";

/** BERT's fields; positions begin after the padding token's id. */
export function readRoberta(f: Fields): BertConfig {
  const c = readBert(f);
  return { ...c, firstPosition: (c.padTokenId ?? 1) + 1 };
}

/** A dense layer over the first position, and BERT's other heads. */
export const robertaHeads: Heads<BertConfig> = {
  rowLabels: denseHead("tanh"),
  tokenLabels: classify,
  spanEnds,
  hidden: besidePooler,
};

/** BERT whose positions begin after the padding token's id. Reference: transformers/models/roberta */
export const roberta: Architecture<BertConfig> = {
  ...bert,
  modelTypes: ["roberta"],
  prefix: "roberta",
  parse: (json) => readConfig(json, readRoberta),
  stack: (w, c, x) => bertStack(w, c, { ...x, positions: positionsAfterPadding(w.g, c.firstPosition, x) }),
  heads: robertaHeads,
};
