import type { Activation } from "../../graph/activations.js";
import { activate } from "../../graph/activations.js";
import type { Module } from "../../graph/module.js";
import type { Tensor } from "../../graph/ops.js";
import type { ModelConfig, PooledHead } from "../model.js";
import { firstToken } from "./pooling.js";

/** What the heads of an encoder read of its config. */
export interface EncoderConfig extends ModelConfig {
  readonly classifierDropout: number;
}

/** classifier(dropout(x)), of a row or of each token. */
export function classify(w: Module, c: EncoderConfig, x: Tensor): Tensor {
  return w.linear("classifier", w.dropout("dropout", x, c.classifierDropout), c.numLabels);
}

/** hidden [batch, length, hidden] -> tanh(dense(first position)), [batch, hidden]; `w` is the pooler. */
export function pool(w: Module, c: ModelConfig, hidden: Tensor): Tensor {
  return w.output(w.g.tanh(w.linear("dense", firstToken(w.g, hidden), c.hiddenSize)));
}

/** The hidden states of a bare model that has a pooler: named and counted, though nothing reads it. */
export function besidePooler(w: Module, c: ModelConfig, hidden: Tensor): Tensor {
  pool(w.at("pooler"), c, hidden);
  return hidden;
}

/** out_proj(dropout(act(dense(dropout(x))))); `w` is the module of both. */
export function twoLayerHead(
  w: Module,
  c: EncoderConfig,
  x: Tensor,
  activation: Activation,
  outputs: number,
): Tensor {
  const dropped = w.dropout("dropout", x, c.classifierDropout);
  const inner = activate(w.g, activation, w.linear("dense", dropped, c.hiddenSize));
  return w.output(w.linear("out_proj", w.dropout("dropout", inner, c.classifierDropout), outputs));
}

/** classifier.out_proj(dropout(act(classifier.dense(dropout(first position))))) */
export function denseHead(activation: Activation): PooledHead<EncoderConfig> {
  return (w, c, hidden) =>
    twoLayerHead(w.at("classifier"), c, firstToken(w.g, hidden), activation, c.numLabels);
}

/** Start and end of an answer, of each token. */
export function spanEnds(w: Module, _c: ModelConfig, hidden: Tensor): Tensor {
  return w.linear("qa_outputs", hidden, 2);
}
